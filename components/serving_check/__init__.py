"""The serving check: a candidate has to predict in a process of its own."""

__all__ = ["call_signatures", "check", "component", "executor"]
