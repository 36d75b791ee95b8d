"""The pusher: writes the next version for TF Serving, if every validator blessed the model."""

__all__ = ["component", "executor"]
