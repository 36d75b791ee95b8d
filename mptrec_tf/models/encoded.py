"""A model's representations of a batch, the inputs of new tasks' heads, and how both are stored.

Existing tasks read `Encoded`. Heads read `HeadInputs`, which adds the existing tasks' logits and
the standardised values. Stage 2 computes the expensive part once for each row, and stores it side
by side in the order of `Layout`:

    | x [D] | shared [S * H] | specific [T * H] | logits [L] |

L is K, the number of tasks, unless tasks have several logits.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mptrec_tf.storage.plain import added


class Encoded(NamedTuple):
    """A model's representations of a batch.

    Attributes:
      x: [B, D]. Embedded and concatenated features.
      ids: [B, F] int64. The packed ids; F may be 0.
      shared: [S, B, H]. Representations that belong to all tasks.
      specific: [T, B, H]. Representations that belong to single tasks; T may be 0.
    """

    x: tf.Tensor
    ids: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor


class InputExperts(NamedTuple):
    """The weights of a model's experts that read x, for heads that change what these compute.

    Attributes:
      kernels: [E, in, out] of each layer.
      biases: [E, 1, out] of each layer.
    """

    kernels: tuple[tf.Tensor, ...]
    biases: tuple[tf.Tensor, ...]


class Standardized(NamedTuple):
    """A model's representations and logits of a batch, standardised by its training rows.

    0 is the mean of the training rows.

    Attributes:
      x: [B, D]. In [-5, 5].
      shared: [B, H]. The mean over `Encoded.shared`.
      specific: [B, H]. The mean over `Encoded.specific`; zeros where there are none.
      logits: [B, L]. In [-5, 5].
    """

    x: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor
    logits: tf.Tensor


class HeadInputs(NamedTuple):
    """The inputs of new tasks' heads, for a batch.

    Attributes:
      encoded: The model's representations.
      prompts: [P, H]. The existing tasks' prompts; P is 0 for models that have none.
      logits: [L, B]. The existing tasks' logits.
      standard: The same values, standardised by the statistics of the training rows.
      experts: The weights of the experts that read x; None for models that have none.
    """

    encoded: Encoded
    prompts: tf.Tensor
    logits: tf.Tensor
    standard: Standardized
    experts: InputExperts | None = None


class Moments(NamedTuple):
    """One moment (means or deviations) of a model's values over rows, as NumPy arrays.

    Attributes:
      x: [D].
      shared: [S, H].
      specific: [T, H].
      logits: [L].
    """

    x: np.ndarray
    shared: np.ndarray
    specific: np.ndarray
    logits: np.ndarray


class Statistics(NamedTuple):
    """Means and deviations of a model's values over its training rows."""

    mean: Moments
    deviation: Moments


@dataclasses.dataclass(frozen=True)
class Layout:
    """The sizes of the values that a model computes for a row.

    Attributes:
      input_width: int. D.
      shared: int. S.
      specific: int. T.
      width: int. H.
      tasks: int. K.
      ids: int. F.
      more_logits: int. L - K, the logits of the tasks beyond one for each.
      experts: int. E, how many experts read x, see `InputExperts`.
      expert_units: The layers of each of these.
    """

    input_width: int
    shared: int
    specific: int
    width: int
    tasks: int
    ids: int
    more_logits: int = 0
    experts: int = added(0)
    expert_units: tuple[int, ...] = added(())

    @property
    def logits(self) -> int:
        """L, the number of logits of all tasks."""
        return self.tasks + self.more_logits

    @property
    def sizes(self) -> list[int]:
        """How many numbers each part has in a stored row."""
        hidden = [self.shared * self.width, self.specific * self.width]
        return [self.input_width, *hidden, self.logits]

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row: numbers of 4 bytes and ids of 8."""
        return 4 * sum(self.sizes) + 8 * self.ids

    def pack(self, encoded: Encoded, logits: tf.Tensor) -> tf.Tensor:
        """Concatenates the representations of a batch and logits [L, B] to [B, sum of sizes]."""
        shared = tf.unstack(encoded.shared, num=self.shared)
        specific = tf.unstack(encoded.specific, num=self.specific)
        return tf.concat([encoded.x, *shared, *specific, tf.transpose(logits)], axis=1)

    def unpack(self, packed: tf.Tensor, ids: tf.Tensor) -> tuple[Encoded, tf.Tensor]:
        """Splits what `pack` returned; returns the representations and the logits [L, B]."""
        hidden = self.shared + self.specific
        sizes = [self.input_width, hidden * self.width, self.logits]
        x, h, logits = tf.split(packed, sizes, axis=1)
        # The number of rows cannot be -1, as there may be no representations.
        h = tf.reshape(h, [tf.shape(packed)[0], hidden, self.width])
        h = tf.transpose(h, [1, 0, 2])
        return Encoded(x, ids, h[: self.shared], h[self.shared :]), tf.transpose(logits)

    def moments(self, values: np.ndarray) -> Moments:
        """Splits one moment [sum of sizes] of packed rows into its parts."""
        x, shared, specific, logits = np.split(values, np.cumsum(self.sizes)[:-1])
        return Moments(x, shared.reshape(-1, self.width), specific.reshape(-1, self.width), logits)
