"""Reads test rows and predicts them, in large batches: a column of numbers for each output."""

import dataclasses
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from components.evaluation.config import EvaluatorConfig
from components.evaluation.slicing import SlicedColumn, SliceKey, find_slices
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.raw_examples import (
    label_column,
    read_description,
    read_serialized_examples,
    weight_column,
)
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel

# Larger batches take longer: their tensors fall out of the processor's caches.
_BATCH = 1024
_READ_AHEAD = 4  # batches
# Users are compared only with each other; two of them have the same number hardly ever.
_USER_NUMBERS = 1 << 62


@dataclasses.dataclass(frozen=True)
class PredictedRows:
    """n test rows.

    Attributes:
      columns: `label/TASK`, `prediction/TASK` and, of tasks to compare, `production/TASK`; where
        they are there `weight/TASK` or `weight`, and `user`: [n], or [n, outputs] of a prediction
        with several numbers.
      slices: The places of the rows of each slice.
      left_out: int. How many slices are not among them, as there are too many.
    """

    columns: Mapping[str, np.ndarray]
    slices: Mapping[SliceKey, np.ndarray]
    left_out: int


def predict_rows(
    examples: str,
    config: EvaluatorConfig,
    candidate: LoadedModel,
    production: LoadedModel | None = None,
) -> PredictedRows:
    """Predicts the rows of a split by one or two models.

    Args:
      examples: Directory of raw examples.
      config: Which split, tasks and slices.
      candidate: The new model.
      production: The one in production.

    Raises:
      InputError: if the split has no rows.
    """
    spec = read_description(examples)["spec"]
    wanted = _list_columns(spec, config)

    names = _name_columns(spec, config)

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, Mapping[str, tf.Tensor], Any]:
        parsed = tf.io.parse_example(serialized, wanted)
        others = {name: parsed[column] for name, column in names.items()}
        if spec.user_id:
            user = parsed[spec.user_id]
            text = user if user.dtype == tf.string else tf.strings.as_string(user)
            others["user"] = tf.strings.to_hash_bucket_fast(text, _USER_NUMBERS)
        return serialized, parsed, others

    models = [candidate, production] if production else [candidate]
    outputs = [(f"prediction/{task}", 0, task) for task in config.tasks]
    outputs += [(f"production/{task}", 1, task) for task in config.compared if production]
    collected: dict[str, list[np.ndarray]] = {}
    sliced = {name: SlicedColumn(name) for columns in config.slices for name in columns}
    first = 0
    dataset = read_serialized_examples(examples, config.split, _BATCH)
    with futures.ThreadPoolExecutor(len(models)) as pool:
        for serialized, parsed, others in dataset.map(parse).prefetch(_READ_AHEAD):
            waiting = [pool.submit(model.predict_examples, serialized) for model in models]
            predicted = [of.result() for of in waiting]
            for name, model, task in outputs:
                others[name] = predicted[model][task]
            for name, values in others.items():
                collected.setdefault(name, []).append(np.asarray(values))
            for name, column in sliced.items():
                column.add(parsed[name], first)
            first += len(serialized)
    if not first:
        raise InputError(f"{examples} has no {config.split} rows.")
    columns = {name: np.concatenate(collected.pop(name)) for name in list(collected)}
    return PredictedRows(columns, *find_slices(config.slices, sliced.values()))


def _list_columns(
    spec: DatasetSpec, config: EvaluatorConfig
) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """Returns how to parse what is read beside the predictions."""
    number = tf.io.FixedLenFeature([], tf.float32)
    features = raw_feature_spec(spec)
    wanted = {name: features[name] for columns in config.slices for name in columns}
    if spec.user_id:
        text = tf.io.FixedLenFeature([], tf.string)
        wanted[spec.user_id] = features.get(spec.user_id, text)
    return wanted | dict.fromkeys(_name_columns(spec, config).values(), number)


def _name_columns(spec: DatasetSpec, config: EvaluatorConfig) -> dict[str, str]:
    """Returns the features of an example by the names of their columns here."""
    names = {f"label/{task}": label_column(task) for task in config.tasks}
    for task in config.tasks:
        column = weight_column(spec, task)
        if column:
            names["weight" if column == spec.weight else f"weight/{task}"] = column
    return names
