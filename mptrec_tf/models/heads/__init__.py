"""Heads: the part that is trained for a new task on a frozen model.

    registry                   `HEADS`, the kinds of heads by name, without TensorFlow
    prompt, residual, tower    the heads, with their shapes in `*_shape`
    base, kind                 base classes of a head of your own

Import classes from their modules: this package imports none, so that programs' flags do not import
TensorFlow.
"""

__all__ = [
    "base",
    "kind",
    "prompt",
    "prompt_shape",
    "registry",
    "residual",
    "residual_shape",
    "shape_fields",
    "tower",
    "tower_shape",
]
