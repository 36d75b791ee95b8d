"""The interface of a new task's head, and the plain bank, which serves heads one after the other.

A kind of head is a subclass of `Head` and a dataclass of its shape, joined by a `HeadKind` in the
registry. A kind can also have a bank of its own, with the interface of `PlainBank`, that computes
many heads in less time.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.kind import IdRanges, select_serving_fields
from mptrec_tf.models.heads.registry import HEADS, find_kind_name
from mptrec_tf.models.weights import Untracked
from mptrec_tf.storage.plain import fields_from_plain, fields_to_plain


class HeadOutputs(NamedTuple):
    """The outputs of a head for a batch.

    Attributes:
      logits: [B]; [n, B] for a task of several logits. The task's kind turns them into its
        prediction.
      report: [B] each, by name: values to log beside the logits, such as "gate".
    """

    logits: tf.Tensor
    report: Mapping[str, tf.Tensor]

    @property
    def rows(self) -> tf.Tensor:
        """The logits as [n, B], also for a task of one."""
        return self.logits[tf.newaxis] if self.logits.shape.rank == 1 else self.logits


class Head(keras.layers.Layer, abc.ABC):
    """The head of a new task on a frozen model.

    A subclass sets `shape_class`, creates and builds its layers in `__init__`, and then sets
    `built`. It returns as many logits as its task has, `self.logits`.

    Args:
      config: The shape.
      layout: The sizes of what the model computes for a row.
      logits: int. n, how many logits the task has. Defaults to 1.

    Example:
      A linear head on the standardised shared representation, registered for `mptrec-add-task`:

          @dataclasses.dataclass(frozen=True)
          class LinearConfig:
              l2: float = 0.0

          class LinearHead(Head):
              shape_class = LinearConfig

              def __init__(self, config, layout, **kwargs):
                  super().__init__(config, layout, **kwargs)
                  l2 = keras.regularizers.L2(config.l2)
                  self.dense = keras.layers.Dense(
                      self.logits, kernel_regularizer=l2, name="dense"
                  )
                  self.dense.build((None, layout.width))
                  self.built = True

              def call(self, inputs, training=None):
                  return HeadOutputs(tf.transpose(self.dense(inputs.standard.shared)), {})

              def rescale(self, scale, shift):
                  self.dense.kernel.assign(scale * self.dense.kernel)
                  self.dense.bias.assign(scale * self.dense.bias + shift)

          HEADS.register("linear", HeadKind(LinearConfig, LinearHead, reads=frozenset({"shared"})))
    """

    shape_class: ClassVar[type]

    def __init__(self, config: Any, layout: Layout, logits: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.layout = layout
        self.logits = logits

    @abc.abstractmethod
    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs.

        Args:
          inputs: The frozen model's values for a batch.
          training: Whether to drop units.
        """

    @abc.abstractmethod
    def rescale(self, scale: float | Sequence[float], shift: float | Sequence[float]) -> None:
        """Rescales the weights so that each logit becomes `scale * logit + shift`.

        Args:
          scale: A number; [n] for a task of several logits.
          shift: Likewise.
        """

    def list_id_tables(self) -> dict[str, IdRanges]:
        """Returns the features whose ids have a row each in a weight, by the weight's name.

        Names are those of `named_weights`; a head whose weights know single ids overrides this, so
        that these follow the ids' values when the head is renewed.
        """
        return {}

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        several = {} if self.logits == 1 else {"logits": self.logits}
        return super().get_config() | {
            "config": fields_to_plain(self.config),
            "layout": fields_to_plain(self.layout),
            **several,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Head":
        """Creates a head of the shape that `get_config` returned."""
        shape = fields_from_plain(cls.shape_class, config["config"])
        layout = fields_from_plain(Layout, config["layout"])
        return cls(**(config | {"config": shape, "layout": layout}))


class PlainBank(tf.Module):
    """Trained heads, computed one after the other.

    A prediction has the same bits whatever other heads there are, as nothing is computed together.

    Args:
      heads: Trained heads of one shape, and of n logits each, by task, N of them.
      prompts: [P, H]. The model's own tasks' prompts; not used here.
    """

    def __init__(self, heads: Mapping[str, Head], prompts: np.ndarray):
        super().__init__()
        del prompts
        self.tasks = tuple(heads)
        # Only variables are tracked: a layer would be saved with functions that servers never call.
        self._variables = [list(head.variables) for head in heads.values()]
        self._heads = Untracked(tuple(heads.values()))

    def __call__(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the logits [N * n, B] of the tasks, for the model's values of a batch."""
        logits = [head(inputs, training=False).logits for head in self._heads.value]
        return tf.stack(logits) if logits[0].shape.rank == 1 else tf.concat(logits, axis=0)


def make_banks(heads: Mapping[str, Head], prompts: np.ndarray) -> list[Any]:
    """Groups heads into as few banks as possible, each of one kind, shape and number of logits.

    Args:
      heads: Trained heads by task.
      prompts: [P, H]. The model's own tasks' prompts.

    Returns:
      Banks with the interface of `PlainBank`.
    """
    groups: dict[tuple, dict[str, Head]] = {}
    for task, head in heads.items():
        key = (find_kind_name(head.config), select_serving_fields(head.config), head.logits)
        groups.setdefault(key, {})[task] = head
    return [HEADS.get(kind).bank_class(group, prompts) for (kind, *_), group in groups.items()]


def stack_reports(outputs: Sequence[HeadOutputs]) -> dict[str, tf.Tensor]:
    """Returns the heads' reports, [B, N] by name, with NaN for a head that does not report it."""
    names = dict.fromkeys(name for output in outputs for name in output.report)
    return {
        name: tf.stack(
            [
                output.report.get(name, tf.fill(tf.shape(output.logits)[-1:], np.float32("nan")))
                for output in outputs
            ],
            axis=1,
        )
        for name in names
    }
