"""What a model makes of a batch, what heads of new tasks read of it, and how both are stored.

Existing tasks read `Encoded`; heads read `HeadInputs`, which adds what the existing tasks predict
and all of it standardised. Stage 2 computes the costly part once for each row, and stores it side
by side as `Layout` says:

    | x [D] | shared [S * H] | specific [T * H] | logits [K] |
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class Encoded(NamedTuple):
    """What a model makes of a batch.

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


class Standardized(NamedTuple):
    """What a model makes of a batch, standardised: 0 is the mean of its training rows.

    Attributes:
      x: [B, D]. In [-5, 5].
      shared: [B, H]. The mean over `Encoded.shared`.
      specific: [B, H]. The mean over `Encoded.specific`; zeros where there are none.
      logits: [B, K]. In [-5, 5].
    """

    x: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor
    logits: tf.Tensor


class HeadInputs(NamedTuple):
    """What heads of new tasks read of a batch.

    Attributes:
      x: [B, D]. As in `Encoded`, like the following three.
      ids: [B, F].
      shared: [S, B, H].
      specific: [T, B, H].
      prompts: [P, H]. The existing tasks' prompts; P is 0 for models that have none.
      logits: [K, B]. What the existing tasks predict.
      standard: All of it standardised by the statistics of the training rows.
    """

    x: tf.Tensor
    ids: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor
    prompts: tf.Tensor
    logits: tf.Tensor
    standard: Standardized


class Moments(NamedTuple):
    """One moment of what a model makes of rows, NumPy arrays.

    Attributes:
      x: [D].
      shared: [S, H].
      specific: [T, H].
      logits: [K].
    """

    x: np.ndarray
    shared: np.ndarray
    specific: np.ndarray
    logits: np.ndarray


class Statistics(NamedTuple):
    """Means and deviations of what a model makes of its training rows."""

    mean: Moments
    deviation: Moments


@dataclasses.dataclass(frozen=True)
class Layout:
    """How much of what a model makes of a row.

    Attributes:
      input_width: int. D.
      shared: int. S.
      specific: int. T.
      width: int. H.
      tasks: int. K.
      ids: int. F.
    """

    input_width: int
    shared: int
    specific: int
    width: int
    tasks: int
    ids: int

    @property
    def sizes(self) -> list[int]:
        """How many numbers of each part stand side by side."""
        hidden = [self.shared * self.width, self.specific * self.width]
        return [self.input_width, *hidden, self.tasks]

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row: float32 and ids of 8 bytes."""
        return 4 * sum(self.sizes) + 8 * self.ids

    def pack(self, encoded: Encoded, logits: tf.Tensor) -> tf.Tensor:
        """Puts side by side [B, sum of sizes] what a model makes of a batch, and logits [K, B]."""
        shared = tf.unstack(encoded.shared, num=self.shared)
        specific = tf.unstack(encoded.specific, num=self.specific)
        return tf.concat([encoded.x, *shared, *specific, tf.transpose(logits)], axis=1)

    def unpack(self, packed: tf.Tensor, ids: tf.Tensor) -> tuple[Encoded, tf.Tensor]:
        """Takes apart what `pack` put together; returns the representations and logits [K, B]."""
        hidden = self.shared + self.specific
        x, h, logits = tf.split(packed, [self.input_width, hidden * self.width, self.tasks], axis=1)
        # Not -1 for the rows: there may be no representations.
        h = tf.reshape(h, [tf.shape(packed)[0], hidden, self.width])
        h = tf.transpose(h, [1, 0, 2])
        return Encoded(x, ids, h[: self.shared], h[self.shared :]), tf.transpose(logits)

    def moments(self, values: np.ndarray) -> Moments:
        """Takes apart one moment [sum of sizes] of packed rows."""
        x, shared, specific, logits = np.split(values, np.cumsum(self.sizes)[:-1])
        return Moments(x, shared.reshape(-1, self.width), specific.reshape(-1, self.width), logits)
