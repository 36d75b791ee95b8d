"""The preprocessing graph, fitted by TensorFlow Transform and part of every SavedModel."""

__all__ = [
    "canonical_graph",
    "graph",
    "list_graph",
    "list_vocabulary",
    "moments",
    "numbers",
    "quantile_edges",
    "sequence_graph",
    "statistics",
    "times",
    "transform_fingerprint",
    "value_counts",
    "vocabulary",
    "vocabulary_file",
]
