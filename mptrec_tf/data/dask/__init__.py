"""Beam pipelines on Dask: stages that Beam fuses, run as tasks of a dask.distributed cluster."""

__all__ = ["bundles", "runner", "stages", "submission"]
