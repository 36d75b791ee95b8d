"""The weights of models: their names, their number, and which are never trained."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.partitions import list_parts


def count_parameters(weights: Sequence[tf.Variable]) -> int:
    """Returns how many numbers some variables hold."""
    return sum(int(tf.size(w)) for w in weights)


def collect_fixed_weights(module: tf.Module) -> list[tf.Variable]:
    """Returns the weights that are stored but never trained: a model's statistics."""
    return [weight for layer in module.submodules for weight in getattr(layer, "fixed_weights", ())]


def named_weights(module: keras.layers.Layer) -> dict[str, tf.Variable]:
    """Returns the weights of a model of single-level layers, as "layer/weight", sorted by name.

    A table that is partitioned over parameter servers is one weight.

    Raises:
      ValueError: if two weights have the same name.
    """
    named = {}
    for layer in module.submodules:
        fixed = getattr(layer, "fixed_weights", ())
        for weight in _join_parts((*getattr(layer, "_trainable_weights", ()), *fixed)):
            whole = list_parts(weight)[0].name.removesuffix("/part_0:0")
            name = f"{layer.name}/{whole.split('/')[-1].split(':')[0]}"
            if name in named:
                raise ValueError(f"two weights should not share a name. Received: {name!r}.")
            named[name] = weight
    return dict(sorted(named.items()))


def _join_parts(weights: Sequence[tf.Variable]) -> list[Any]:
    """Returns weights with the partitioned table that parts belong to in place of these."""
    whole = [w._sharded_container() if hasattr(w, "_sharded_container") else w for w in weights]
    return list({id(weight): weight for weight in whole}.values())


def set_named_weights(
    module: keras.layers.Layer, values: Mapping[str, np.ndarray | tf.Tensor]
) -> None:
    """Sets all weights of a model to values by their names, see `named_weights`."""
    for name, weight in named_weights(module).items():
        weight.assign(values[name])


def print_trainable_parameters(model: keras.Model) -> str:
    """Prints and returns in one line how many parameters train, of how many, and their share.

    Metrics, step counters, environments and statistics are state, not parameters.

    Example:
      >>> layer = keras.layers.Dense(2)
      >>> model = keras.Sequential([layer, keras.layers.Dense(1)])
      >>> model.build((None, 3))
      >>> layer.trainable = False
      >>> line = print_trainable_parameters(model)
      trainable params: 3 || all params: 11 || trainable%: 27.27
    """
    state = {id(v) for metric in model.metrics for v in metric.variables}
    state |= {id(v) for v in collect_fixed_weights(model)}
    parameters = [w for w in model.weights if w.dtype.is_floating and id(w) not in state]
    trainable, everything = count_parameters(model.trainable_weights), count_parameters(parameters)
    share = 100 * trainable / max(everything, 1)
    line = (
        f"trainable params: {trainable:,} || all params: {everything:,} || trainable%: {share:.2f}"
    )
    print(line)
    return line


@dataclasses.dataclass(frozen=True)
class Untracked:
    """A layer or model as a module's attribute that TensorFlow ignores when it saves the module.

    Attributes:
      value: What is held.
    """

    value: Any
