"""Pre-training: stage 1 as a TFX Trainer."""

__all__ = ["component", "run_fn"]
