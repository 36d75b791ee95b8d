"""Heads: what is trained for a new task on a frozen model."""
