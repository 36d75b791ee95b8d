"""Predictions of a SavedModel offline: load, score files, compare versions."""
