"""Adapts `mptrec_tf.data.transform.graph` to TFX Transform."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import make_preprocessing_fn
from mptrec_tf.errors import InputError


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Packs the features of raw examples; the spec comes as JSON in `custom_config["spec"]`."""
    spec = DatasetSpec.from_json(custom_config["spec"])
    columns = {name: _flatten_column(name, inputs) for name in spec.feature_names}
    return make_preprocessing_fn(spec)(columns)


def _flatten_column(name: str, inputs: Mapping[str, Any]) -> tf.Tensor:
    """Returns a column [B], which TFX reads as [B] or [B, 1].

    Raises:
      InputError: if the schema lacks the column, or does not declare that it has one value.
    """
    if name not in inputs:
        raise InputError(f"the schema has no feature {name!r}, which the spec needs.")
    column = inputs[name]
    if not isinstance(column, tf.Tensor) or column.shape[1:].num_elements() != 1:
        raise InputError(
            f"feature {name!r} may have any number of values in the schema; every row has one: "
            "give it `shape { dim { size: 1 } }` and `presence { min_fraction: 1 }` there."
        )
    return tf.reshape(column, [-1])
