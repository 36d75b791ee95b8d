"""Pre-training: stage 1 as a TFX Trainer."""
