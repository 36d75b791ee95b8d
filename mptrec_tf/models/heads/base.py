"""What every head of a new task is, and how trained heads are served: one after the other.

A kind of head is a subclass of `Head` and a dataclass of its shape, joined by a `HeadKind` in the
registry. Where many heads of one kind should cost less than one after the other, it has a bank of
its own beside it, with the interface of `PlainBank`.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.kind import select_serving_fields
from mptrec_tf.models.heads.registry import HEADS, find_kind_name
from mptrec_tf.storage.plain import fields_from_plain, fields_to_plain


class HeadOutputs(NamedTuple):
    """What a head makes of a batch.

    Attributes:
      logits: [B]. The task's kind makes its prediction of them.
      report: [B] each, by name: what is worth a look beside the logits, such as "gate".
    """

    logits: tf.Tensor
    report: Mapping[str, tf.Tensor]


class Head(keras.layers.Layer, abc.ABC):
    """A new task on a frozen model.

    A subclass sets `shape_class`, makes and builds its layers in `__init__`, and then sets `built`.

    Args:
      config: The shape.
      layout: How much the model makes of a row.
    """

    shape_class: ClassVar[type]

    def __init__(self, config: Any, layout: Layout, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.layout = layout

    @abc.abstractmethod
    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs.

        Args:
          inputs: What the frozen model makes of a batch.
          training: Whether to drop units.
        """

    @abc.abstractmethod
    def rescale(self, scale: float, shift: float) -> None:
        """Changes the weights so that the logit becomes `scale * logit + shift`."""

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {
            "config": fields_to_plain(self.config),
            "layout": fields_to_plain(self.layout),
        }

    @classmethod
    def from_config(cls, config: dict) -> "Head":
        """Makes a head of the shape that `get_config` returned."""
        shape = fields_from_plain(cls.shape_class, config["config"])
        layout = fields_from_plain(Layout, config["layout"])
        return cls(**(config | {"config": shape, "layout": layout}))


class PlainBank(tf.Module):
    """Trained heads one after the other, as they are.

    A prediction has the same bits whatever stands beside its head, as nothing is computed together.

    Args:
      heads: Trained heads of one shape by task, N of them.
      prompts: [P, H]. The model's own tasks' prompts; not read here.
    """

    def __init__(self, heads: Mapping[str, Head], prompts: np.ndarray):
        super().__init__()
        del prompts
        self.tasks = tuple(heads)
        # Variables alone: a layer would be saved with functions that servers do not call.
        self._variables = [list(head.variables) for head in heads.values()]
        self._heads = _Untracked(tuple(heads.values()))

    def __call__(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the logits [N, B] of the tasks, for what the model makes of a batch."""
        return tf.stack([head(inputs, training=False).logits for head in self._heads.values])


@dataclasses.dataclass(frozen=True)
class _Untracked:
    """What TensorFlow does not look into when it saves a module."""

    values: tuple[Any, ...]


def make_banks(heads: Mapping[str, Head], prompts: np.ndarray) -> list[Any]:
    """Returns as few banks as the shapes of heads allow, each of one kind and one shape.

    Args:
      heads: Trained heads by task.
      prompts: [P, H]. The model's own tasks' prompts.

    Returns:
      Banks with the interface of `PlainBank`.
    """
    groups: dict[tuple, dict[str, Head]] = {}
    for task, head in heads.items():
        key = (find_kind_name(head.config), select_serving_fields(head.config))
        groups.setdefault(key, {})[task] = head
    return [HEADS.get(kind).bank_class(group, prompts) for (kind, _), group in groups.items()]


def stack_reports(outputs: Sequence[HeadOutputs]) -> dict[str, tf.Tensor]:
    """Returns what heads report, [B, N] by name; a head that does not know a name has NaN there."""
    names = dict.fromkeys(name for output in outputs for name in output.report)
    return {
        name: tf.stack(
            [
                output.report.get(name, tf.fill(tf.shape(output.logits), np.float32("nan")))
                for output in outputs
            ],
            axis=1,
        )
        for name in names
    }
