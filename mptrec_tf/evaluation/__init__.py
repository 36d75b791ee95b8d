"""Evaluation: metrics of predictions and labels, calibration, and reports.

metrics    `auc`, `grouped_auc`, `log_loss`, ...
platt      `fit_scale_and_shift`
report     `to_json`, `print_table`
"""

__all__ = ["metrics", "platt", "report"]
