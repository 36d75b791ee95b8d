"""The kinds of features, by their section in a spec: a line each.

Features are packed, and concatenated to x, in this order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.base import Feature
from mptrec_tf.data.features.input_shape import Embedding, InputShape
from mptrec_tf.kinds import Registry

if TYPE_CHECKING:
    import tensorflow as tf

    from mptrec_tf.keras import keras

FEATURES: Registry[type[Feature]] = Registry(
    "kind of feature",
    {
        "categorical": "mptrec_tf.data.features.categorical:Categorical",
        "numeric": "mptrec_tf.data.features.numeric:Numeric",
        "buckets": "mptrec_tf.data.features.buckets:Buckets",
        "piecewise": "mptrec_tf.data.features.piecewise:Piecewise",
        "times": "mptrec_tf.data.features.times:Time",
        "ages": "mptrec_tf.data.features.ages:Age",
        "crosses": "mptrec_tf.data.features.crosses:Cross",
        "bags": "mptrec_tf.data.features.bags:Bag",
        "sequences": "mptrec_tf.data.features.sequences:ValueSequence",
        "vectors": "mptrec_tf.data.features.vectors:Vector",
    },
)


def feature_layers(
    inputs: Sequence[InputShape], embedding: Embedding
) -> "dict[str, keras.layers.Layer | None]":
    """Returns the layers from each packed tensor [B, n] to its part of x [B, input_width], by name.

    x is the concatenation of all parts, in this order. None: the packed tensor is a part unchanged.

    Args:
      inputs: The shapes of the features of each kind.
      embedding: The model's settings for embeddings.
    """
    return {shape.kind: FEATURES.get(shape.kind).layer(shape, embedding) for shape in inputs}


def input_width(inputs: Sequence[InputShape], embedding_width: int) -> int:
    """Returns D, the width of x."""
    return sum(FEATURES.get(of.kind).input_width(of, embedding_width) for of in inputs)


def make_zeros(inputs: Sequence[InputShape], rows: int) -> "dict[str, tf.Tensor]":
    """Returns valid packed tensors of some rows by name, to build a model with."""
    return {
        name: packed
        for of in inputs
        for name, packed in FEATURES.get(of.kind).make_zeros(of, rows).items()
    }


def has_fixed_shapes(inputs: Sequence[InputShape]) -> bool:
    """Whether every row has equally many values, so that XLA can compile a training step."""
    return not any(FEATURES.get(of.kind).packed_parts for of in inputs)
