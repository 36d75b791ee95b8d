"""The kinds of features, by their section in a spec: a line each.

Features are packed, and concatenated to x, in this order.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.base import Embedding, Feature, InputShape
from mptrec_tf.kinds import Registry

if TYPE_CHECKING:
    from mptrec_tf.keras import keras

FEATURES: Registry[type[Feature]] = Registry(
    "kind of feature",
    {
        "categorical": "mptrec_tf.data.features.categorical:Categorical",
        "numeric": "mptrec_tf.data.features.numeric:Numeric",
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


def packed_signature(inputs: Sequence[InputShape]) -> dict[str, tuple[int, str]]:
    """Returns n and the dtype of each packed tensor [B, n] by its name."""
    return {of.kind: (of.columns, FEATURES.get(of.kind).dtype) for of in inputs}
