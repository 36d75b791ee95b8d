"""Evaluation: metrics of predictions and labels, calibration, the gate, and reports.

bootstrap     `resample`, of sums by user
classes       `one_against_rest`, `fit_temperature`, ...
concordance   `concordance`, `concordance_difference`: the AUC of labels that are numbers
gate          `Gate`, `Verdict`: whether a candidate may be pushed
isotonic      `fit_probabilities`, `fit_numbers`
levels        `level_losses`, `invert_expected`: the proportional-odds model
linear_fit    `fit_line`
metrics       `auc`, `grouped_auc`, `log_loss`, ...
near_identity `fit_near_identity`, of scale and shifts
platt         `fit_scale_and_shift`
report        `to_json`, `print_table`
"""

__all__ = [
    "bootstrap",
    "classes",
    "concordance",
    "gate",
    "isotonic",
    "levels",
    "linear_fit",
    "metrics",
    "near_identity",
    "platt",
    "report",
]
