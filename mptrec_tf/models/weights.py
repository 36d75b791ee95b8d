"""The weights of models: their names, how many numbers they hold, and which are never trained."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.keras import keras


def count_parameters(weights: Sequence[tf.Variable]) -> int:
    """How many numbers some variables hold."""
    return sum(int(tf.size(w)) for w in weights)


def collect_fixed_weights(module: tf.Module) -> list[tf.Variable]:
    """What is stored with a model's trained weights and is none of them: its statistics."""
    return [weight for layer in module.submodules for weight in getattr(layer, "fixed_weights", ())]


def named_weights(module: keras.layers.Layer) -> dict[str, tf.Variable]:
    """Weights of a model of single-level layers, as "layer/weight" in order.

    Raises:
      ValueError: if two weights have one name.
    """
    named = {}
    for layer in module.submodules:
        fixed = getattr(layer, "fixed_weights", ())
        for weight in (*getattr(layer, "_trainable_weights", ()), *fixed):
            name = f"{layer.name}/{weight.name.split('/')[-1].split(':')[0]}"
            if name in named:
                raise ValueError(f"two weights should not share a name. Received: {name!r}.")
            named[name] = weight
    return dict(sorted(named.items()))


def print_trainable_parameters(model: keras.Model) -> str:
    """Prints and returns what trains, in one line: trainable, all, and the share.

    Metrics, step counters, environments and statistics are state, not parameters.
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
