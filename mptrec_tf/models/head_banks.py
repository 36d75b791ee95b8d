"""Heads of one shape as one batched computation, for models that answer many tasks.

What a task answers does not depend, to the last bit, on the tasks that it shares a bank with: all
products are batched by head. TensorFlow multiplies a batch of one in another way than larger ones,
so a head that is alone stands in its bank twice.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.models.backbone import Encoded, named_weights
from mptrec_tf.models.head_kinds import AnyConfig, AnyHead

# What matters in training alone.
_TRAINING = ("tower_dropout", "l2_dense", "kl_weight")


class HeadBank(tf.Module):
    """Heads whose shapes agree.

    Args:
      heads: Trained heads by task. Their weights are copied.
    """

    def __init__(self, heads: Mapping[str, AnyHead]):
        super().__init__()
        self.tasks = tuple(heads)
        stacked = list(heads.values()) if len(heads) > 1 else 2 * list(heads.values())
        self._heads = _stack(stacked)

    def __call__(self, encoded: Encoded, prompts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the logits [B] by task; arguments as a head takes them."""
        logits = self._heads.side_by_side(encoded, prompts).logits
        return dict(zip(self.tasks, tf.unstack(logits, num=self._heads.count), strict=False))


def head_banks(heads: Mapping[str, AnyHead]) -> list[HeadBank]:
    """Returns as few banks as the shapes of the heads allow."""
    groups: dict[AnyConfig, dict[str, AnyHead]] = {}
    for task, head in heads.items():
        groups.setdefault(_for_serving(head.config), {})[task] = head
    return [HeadBank(group) for group in groups.values()]


def _for_serving(config: AnyConfig) -> AnyConfig:
    known = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: 0.0 for name in _TRAINING if name in known})


def _stack(heads: Sequence[AnyHead]) -> AnyHead:
    """One layer with the weights of several heads of one shape."""
    first = heads[0]
    config = first.get_config() | {"count": len(heads), "name": "heads"}
    config["config"] = dataclasses.asdict(_for_serving(first.config))
    stacked = type(first).from_config(config)
    parts = [named_weights(head) for head in heads]
    for name, weight in named_weights(stacked).items():
        values = [part[name].numpy() for part in parts]
        # The dimension that counts heads is the one in which the shapes differ.
        axis = next(i for i, size in enumerate(weight.shape) if size != values[0].shape[i])
        weight.assign(np.concatenate(values, axis))
    return stacked
