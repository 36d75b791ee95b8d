"""Offline inference with an exported model: load it, score files, compare versions.

saved_model    `LoadedModel`
scoring        `evaluate`, `predict_file`
comparing      `compare`
paired         `compare_paired`: a candidate and production, for the gate
rejects        `Rejects`: rows that cannot be predicted
"""

__all__ = ["comparing", "csv_lines", "paired", "rejects", "saved_model", "scoring"]
