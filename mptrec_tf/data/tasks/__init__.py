"""Kinds of tasks: each defines its labels, its loss, its predictions and its score."""

__all__ = [
    "base",
    "binary",
    "binary_tables",
    "classes",
    "label_survey",
    "label_tables",
    "numbers",
    "ordinal",
    "registry",
    "regression",
    "row_labels",
    "scores",
    "separation",
    "slices",
]
