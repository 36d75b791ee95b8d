"""The Evaluator: metrics of a candidate, its comparison with production, and its blessing."""

__all__ = [
    "component",
    "config",
    "executor",
    "measuring",
    "rows",
    "slicing",
    "tfma_files",
    "thresholds",
]
