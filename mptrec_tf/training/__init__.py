"""Training: input pipelines, pre-training (stage 1), prompt tuning (stage 2), and their state."""
