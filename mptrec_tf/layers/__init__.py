"""Keras layers of MPT-Rec, each usable alone.

Tasks and experts are a dimension, not a Python loop. Layers of many tasks work task-major,
[T, B, ...], so that one batched product serves all of them.

    banks         `ExpertBank`, `TowerBank`
    gates         `GateBank`, `fuse`
    prompts       `TaskPrompts`, `InstanceQuery`
    adversary     `Discriminator`, `reverse_gradient`, `assign_environments`
    embedding     `PackedEmbedding`
    statistics    `Standardize`, `IdWeights`

Import them from their modules: this package imports none, so that `choices`, which flags read,
does not import TensorFlow.
"""

__all__ = [
    "adversary",
    "banks",
    "choices",
    "embedding",
    "gates",
    "prompts",
    "stable_ops",
    "statistics",
]
