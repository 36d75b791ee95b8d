"""Choices that layers offer; imports no TensorFlow, as configurations and flags need them."""

# Whose norm an L2 term weighs, see `PackedEmbedding`.
L2_OVER = ("table", "batch")
