"""The means and deviations of a model's representations and logits over rows."""

import contextlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from mptrec_tf.data.packed import LABELS, ROW, TASK_WEIGHTS, WEIGHT
from mptrec_tf.errors import InputError
from mptrec_tf.models.encoded import Statistics
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.progress import report_progress
from mptrec_tf.training.batches import Rows, make_ordered_batches


def compute_statistics(model: MultiTaskModel, rows: Rows, title: str | None = None) -> Statistics:
    """Returns the means and deviations of a model's values over rows, weighted by their weights.

    Args:
      model: The model.
      rows: The rows.
      title: Name of the training in the progress line. Defaults to no progress line.

    Raises:
      InputError: if all rows weigh 0.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def packed(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        encoded = model.encode(features)
        return model.layout.pack(encoded, model.predict_logits(encoded))

    scaler = StandardScaler(copy=False)
    progress = contextlib.nullcontext(lambda _: None)
    if title is not None:
        progress = report_progress(f"{title}   statistics of the training rows", rows.count)
    with progress as on_rows:
        for batch in make_ordered_batches(rows):
            others = (LABELS, ROW, WEIGHT, TASK_WEIGHTS)
            features = {k: v for k, v in batch.items() if k not in others}
            values = packed(features).numpy().astype(np.float64)
            weight = batch[WEIGHT].numpy().astype(np.float64) if WEIGHT in batch else None
            if weight is None or weight.any():
                scaler.partial_fit(values, sample_weight=weight)
            on_rows(len(values))
    if not hasattr(scaler, "mean_"):
        raise InputError("all training rows weigh 0; give some of them a weight above 0.")
    layout = model.layout
    return Statistics(layout.moments(scaler.mean_), layout.moments(np.sqrt(scaler.var_)))
