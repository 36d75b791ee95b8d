"""Built-in data: impressions of users and items with four tasks, whose truth is known."""

__all__ = ["rows", "spec"]
