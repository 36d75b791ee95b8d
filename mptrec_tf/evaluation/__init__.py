"""Evaluation: metrics from predictions and labels, and reports of them."""
