"""Adapts `mptrec_tf.data.transform.graph` to TFX Transform."""

import inspect
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from apache_beam.pipeline import AppliedPTransform
from tensorflow_transform.beam import deep_copy

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import make_preprocessing_fn
from mptrec_tf.errors import InputError


def _allow_several_phases() -> None:
    """Makes TFX's Transform fit what needs the rows twice, such as the scale of an age.

    For each phase after the first, Transform copies Beam's steps that read the rows. TensorFlow
    Transform 1.16 does not know what a step of newer releases of Beam consists of, and fails.
    Without a copy all phases share the steps, as `mptrec-prepare` has it.
    """
    news = {"environment_id", "annotations"}
    of_step = inspect.signature(AppliedPTransform.__init__).parameters.keys()
    if news & of_step and not any(new in inspect.getsource(deep_copy) for new in news):
        deep_copy.deep_copy = lambda rows: rows


_allow_several_phases()


def preprocessing_fn(
    inputs: Mapping[str, tf.Tensor], custom_config: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Packs the features of raw examples; the spec comes as JSON in `custom_config["spec"]`."""
    spec = DatasetSpec.from_json(custom_config["spec"])
    columns = {
        name: _shape_column(name, inputs, spec.raw_columns[name].values_per_row)
        for name in spec.feature_names
    }
    return make_preprocessing_fn(spec)(columns)


def _shape_column(name: str, inputs: Mapping[str, Any], values: int | None) -> Any:
    """Returns a column as the kinds of features take it, see `raw_feature_spec`.

    Args:
      name: The column.
      inputs: What TFX read: one value of a row as [B] or [B, 1], any number as a SparseTensor.
      values: How many values each row has; None: any number.

    Raises:
      InputError: if the schema lacks the column, or declares another number of values.
    """
    if name not in inputs:
        raise InputError(f"the schema has no feature {name!r}, which the spec needs.")
    column = inputs[name]
    if values is None:
        if isinstance(column, tf.Tensor):
            raise InputError(
                f"feature {name!r} has {column.shape[1:].num_elements()} values in every row of "
                "the schema; as a feature with any number of values it must have no shape there: "
                "give a schema without it."
            )
        return column
    if values > 1:
        if not isinstance(column, tf.Tensor) or column.shape[1:].num_elements() != values:
            raise InputError(
                f"feature {name!r} should have {values} values in every row of the schema: give it "
                f"`shape {{ dim {{ size: {values} }} }}` and `presence {{ min_fraction: 1 }}`."
            )
        return tf.reshape(column, [-1, values])
    if not isinstance(column, tf.Tensor) or column.shape[1:].num_elements() != 1:
        raise InputError(
            f"feature {name!r} may have any number of values in the schema; every row has one: "
            "give it `shape { dim { size: 1 } }` and `presence { min_fraction: 1 }` there."
        )
    return tf.reshape(column, [-1])
