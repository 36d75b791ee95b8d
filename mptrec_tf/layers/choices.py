"""Choices that layers offer. Imports no TensorFlow, as configurations and flags read them."""

# What an L2 term takes the norm of, see `PackedEmbedding`.
L2_OVER = ("table", "batch")
