"""From raw rows to packed examples: specs, readers, labels, preprocessing."""

__all__ = [
    "canonical",
    "dask",
    "describing",
    "features",
    "list_values",
    "packed",
    "prepare",
    "prepared",
    "prepared_checks",
    "raw_examples",
    "sampling",
    "sets",
    "sources",
    "spec",
    "spec_yaml",
    "tasks",
    "text_format",
    "training_data",
    "transform",
]
