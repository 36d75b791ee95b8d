"""Heads: the part that is trained for a new task on a frozen model.

    registry                   `HEADS`, the kinds of heads by name, without TensorFlow
    prompt, residual, tower,
    mixture, lora,
    own_embedding              the heads, with their shapes in `*_shape`
    base, kind, with_tower     base classes of a head of your own

Import classes from their modules: this package imports none, so that programs' flags do not import
TensorFlow.
"""

__all__ = [
    "base",
    "kind",
    "lora",
    "lora_shape",
    "mixture",
    "mixture_shape",
    "own_embedding",
    "own_embedding_shape",
    "prompt",
    "prompt_shape",
    "registry",
    "residual",
    "residual_shape",
    "shape_fields",
    "tower",
    "tower_shape",
    "with_tower",
]
