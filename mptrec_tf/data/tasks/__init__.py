"""Kinds of tasks: each defines its labels, its loss, its predictions and its score."""

__all__ = ["base", "binary", "evaluator_metric", "label_survey", "registry", "regression"]
