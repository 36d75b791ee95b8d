"""The data gate: stops a pipeline if its data are not fit for training."""

__all__ = ["checks", "component", "config", "executor"]
