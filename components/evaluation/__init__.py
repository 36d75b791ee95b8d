"""Evaluation: the configuration of TFX's Evaluator, and its metrics of tasks."""
