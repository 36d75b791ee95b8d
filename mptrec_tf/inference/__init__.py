"""Offline inference with an exported model: load it, score files, compare versions.

saved_model    `LoadedModel`
scoring        `evaluate`, `predict_file`
comparing      `compare`
rejects        `Rejects`: rows that cannot be predicted
"""

__all__ = ["comparing", "csv_lines", "rejects", "saved_model", "scoring"]
