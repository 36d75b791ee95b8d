"""From raw rows to packed examples: specs, readers, labels, preprocessing."""
