"""Prompt tuning: stage 2 as a TFX Trainer with a base model."""
