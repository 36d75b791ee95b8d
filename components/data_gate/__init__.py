"""The data gate: stops a pipeline whose data are not fit for training."""
