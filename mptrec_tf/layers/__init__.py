"""Keras layers of MPT-Rec, each usable alone.

Tasks and experts are a dimension, not a Python loop. Layers of many tasks work task-major,
[T, B, ...], so that one batched product serves all of them.
"""
