"""Evaluation: the configuration of TFX's Evaluator, and its metrics of tasks."""

__all__ = ["eval_config", "exact_auc", "labelled", "rows", "task_score", "thresholds"]
