"""Data sets and readers of raw rows: text files, TFRecord files, TFDS."""

__all__ = [
    "bad_rows",
    "block",
    "census_income",
    "data_set",
    "files",
    "registry",
    "synthetic",
    "synthetic_days",
    "synthetic_logs",
    "tabular",
]
