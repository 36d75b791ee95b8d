"""Keras layers of MPT-Rec, each usable alone.

Tasks and experts are a dimension, not a Python loop. Layers of many tasks work task-major,
[T, B, ...], so that one batched product serves all of them.

    banks         `ExpertBank`, `TowerBank`
    gates         `GateBank`, `fuse`
    prompts       `TaskPrompts`, `InstanceQuery`
    adversary     `Discriminator`, `reverse_gradient`, `assign_environments`
    embedding     `PackedEmbedding`; `EmbeddingTables` of several widths in `embedding_tables`; of
                  several values in a row `PooledEmbedding` (pooled_embedding) and
                  `SequenceEmbedding` (sequence_embedding)
    piecewise     `Pieces` of numbers
    low_rank      `LowRankExperts`, small changes of a bank that is frozen
    masks         subnets of a bank; `transfer` between tasks
    statistics    `Standardize`, `IdWeights`

Import them from their modules: this package imports none, so that `choices`, which flags read,
does not import TensorFlow.
"""

__all__ = [
    "adversary",
    "banks",
    "choices",
    "embedding",
    "embedding_tables",
    "gates",
    "low_rank",
    "masks",
    "piecewise",
    "pooled_embedding",
    "prompts",
    "sequence_embedding",
    "stable_ops",
    "statistics",
    "transfer",
]
