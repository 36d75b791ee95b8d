"""Built-in data that change from day to day."""

__all__ = ["rows", "spec"]
