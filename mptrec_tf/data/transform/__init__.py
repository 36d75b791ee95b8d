"""The preprocessing graph, fitted by TensorFlow Transform and part of every SavedModel."""

__all__ = ["canonical_graph", "graph", "statistics", "transform_fingerprint", "vocabulary"]
