"""Evaluation: metrics from probabilities and labels, and reports of them."""
