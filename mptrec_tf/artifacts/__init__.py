"""What training leaves and serving reads: backbones and task packages on disk."""
