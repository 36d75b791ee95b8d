"""Evaluation: the configuration of TFX's Evaluator, and an exact AUC for it."""
