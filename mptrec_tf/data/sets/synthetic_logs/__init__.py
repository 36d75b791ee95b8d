"""Built-in data as real logs have them: bags, a history, missing numbers, tasks after a click."""

__all__ = ["rows", "spec"]
