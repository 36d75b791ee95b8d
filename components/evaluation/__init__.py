"""Evaluation: the configuration of TFX's Evaluator, and scores of tasks for it."""
