"""Models: the backbone, its pre-training (stage 1), and new tasks on it (stage 2)."""
