"""Serving: asking an exported model."""
