"""Features: one module per kind, and one line in the registry."""

__all__ = [
    "ages",
    "bags",
    "base",
    "buckets",
    "categorical",
    "crosses",
    "input_shape",
    "lists",
    "numeric",
    "packed_tensors",
    "piecewise",
    "registry",
    "sequences",
    "times",
    "vectors",
    "widths",
]
