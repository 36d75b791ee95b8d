"""Test tools for a model server: load while versions change, and malformed requests."""
