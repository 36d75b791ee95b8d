"""Prompt tuning: stage 2 as a TFX Trainer with a base model."""

__all__ = ["component", "config", "run_fn"]
