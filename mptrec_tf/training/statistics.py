"""The means and deviations of what a backbone says of rows."""

import contextlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from mptrec_tf.data.packed import LABELS, ROW, WEIGHT
from mptrec_tf.errors import InputError
from mptrec_tf.models.backbone import Backbone, Encoded
from mptrec_tf.progress import counting
from mptrec_tf.training.batches import Rows, ordered_batches


def statistics(
    backbone: Backbone, rows: Rows, training: str | None = None
) -> tuple[Encoded, Encoded]:
    """Reads all rows once; rows that have a weight count as much as it says.

    Args:
      backbone: The backbone.
      rows: The rows.
      training: Which training's rows they are, to say how far it is; None: nothing is said.

    Returns:
      Means and deviations: x [D], shared [H], specific [K, H] and logits [K], NumPy arrays.

    Raises:
      InputError: if all rows weigh 0.
    """

    @tf.function(reduce_retracing=True)
    def said(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        encoded = backbone.with_logits(backbone.encode(features))
        specific = tf.unstack(encoded.specific, num=len(backbone.config.tasks))
        return tf.concat(
            [encoded.x, encoded.shared, *specific, tf.transpose(encoded.logits)], axis=1
        )

    scaler = StandardScaler(copy=False)
    shown = contextlib.nullcontext(lambda _: None)
    if training is not None:
        shown = counting(f"{training}   statistics of the training rows", rows.count)
    with shown as on_rows:
        for batch in ordered_batches(rows):
            features = {k: v for k, v in batch.items() if k not in (LABELS, ROW, WEIGHT)}
            values = said(features).numpy().astype(np.float64)
            weight = batch[WEIGHT].numpy().astype(np.float64) if WEIGHT in batch else None
            if weight is None or weight.any():
                scaler.partial_fit(values, sample_weight=weight)
            on_rows(len(values))
    if not hasattr(scaler, "mean_"):
        raise InputError("all training rows weigh 0; give some of them a weight above 0.")
    return _take_apart(backbone, scaler.mean_), _take_apart(backbone, np.sqrt(scaler.var_))


def _take_apart(backbone: Backbone, values: np.ndarray) -> Encoded:
    shape = backbone.config
    count, width = len(shape.tasks), shape.width
    ends = np.cumsum([shape.input_width, width, count * width])
    x, shared, specific, logits = np.split(values, ends)
    return Encoded(x, shared, specific.reshape(count, width), logits=logits)
