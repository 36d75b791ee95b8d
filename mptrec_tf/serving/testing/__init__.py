"""Test tools for a model server: load while versions change, and malformed requests."""

__all__ = ["fuzzing", "load", "local_server"]
