"""Models at the paper's shape for Census-Income on random rows, and how fast they train.

The values of rows do not affect the speed; how many there are, and of what, does.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

CATEGORICAL, NUMERIC, IDS = 28, 11, 493


def make_rows(count: int, tasks: int, ids: int = IDS):
    """Returns `Rows` in memory: ids that no two features share, numbers, and labels of tasks."""
    import tensorflow as tf

    from mptrec_tf.data.packed import LABELS
    from mptrec_tf.training.batches import make_memory_rows

    random = np.random.default_rng(1)
    per_feature = ids // CATEGORICAL
    own = random.integers(per_feature, size=(count, CATEGORICAL))
    return make_memory_rows(
        {
            "categorical": tf.constant(own + per_feature * np.arange(CATEGORICAL)),
            "numeric": tf.constant(random.random((count, NUMERIC), np.float32)),
            LABELS: tf.constant(random.integers(2, size=(count, tasks)), tf.float32),
        }
    )


def make_trainer(tasks: Sequence[str], steps: int, rows: int, ids: int = IDS, **shape: Any):
    """Returns what pre-trains MPT-Rec on these tasks for so many steps."""
    from mptrec_tf.data.features.input_shape import InputShape
    from mptrec_tf.data.tasks.binary import BinaryTask
    from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
    from mptrec_tf.models.shapes import MPTRecShape
    from mptrec_tf.models.trainer import Plan

    inputs = (InputShape("categorical", CATEGORICAL, ids), InputShape("numeric", NUMERIC))
    model = MPTRec(MPTRecShape(tuple(tasks), inputs, **shape))
    kinds = [BinaryTask(name, name, ("1",)) for name in tasks]
    return MPTRecTrainer(model, kinds, plan=Plan(steps, rows))


def measure_epochs(model, rows, batch_size: int, epochs: int) -> list[float]:
    """Trains for some epochs; returns the seconds of each but the first, which traces the graph.

    The input pipeline is included.
    """
    from mptrec_tf.keras import keras
    from mptrec_tf.training import loop
    from mptrec_tf.training.batches import make_training_batches
    from mptrec_tf.training.configurations import TrainingConfig

    class EpochTimes(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.begin)

    times, steps = EpochTimes(), rows.steps(batch_size)
    loop.compile_model(model, TrainingConfig(), steps)
    model.fit(
        make_training_batches(rows, batch_size, seed=1, epochs=epochs),
        epochs=epochs,
        steps_per_epoch=steps,
        verbose=0,
        callbacks=[times],
    )
    return times.seconds[1:]
