"""The frozen-task validator: a new task must not change any other."""

__all__ = ["compare", "component", "executor"]
