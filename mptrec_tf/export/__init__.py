"""Export: backbones, task packages, and the SavedModels that serve them."""
