"""The names of the splits. Programs read them before they import what takes long."""

SPLITS = ("train", "validation", "test")
