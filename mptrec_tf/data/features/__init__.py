"""Features: one module per kind, and one line in the registry."""

__all__ = ["base", "categorical", "numeric", "registry"]
