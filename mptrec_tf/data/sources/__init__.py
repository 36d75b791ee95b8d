"""Readers of raw rows: text, Parquet, Arrow, JSON lines, TFRecord, TFDS."""

__all__ = [
    "bad_rows",
    "block",
    "files",
    "tabular",
]
