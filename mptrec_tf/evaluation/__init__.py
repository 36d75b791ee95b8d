"""Evaluation: metrics of predictions and labels, calibration, and reports.

concordance   `concordance`, `concordance_difference`: the AUC of labels that are numbers
linear_fit    `fit_line`
metrics       `auc`, `grouped_auc`, `log_loss`, ...
platt         `fit_scale_and_shift`
report        `to_json`, `print_table`
"""

__all__ = ["concordance", "linear_fit", "metrics", "platt", "report"]
