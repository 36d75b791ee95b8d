"""Pipelines: whole ways from data to a pushed model."""
