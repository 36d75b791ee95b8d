"""Training speed of both stages in samples per second, at the paper's shape for Census-Income.

    python benchmarks/throughput.py --epochs=7

Rows are random packed features of that shape (their values do not affect the speed). Each epoch is
timed by itself, input pipeline included; the first, which traces the graph, is left out, and the
median of the others is shown.
"""

import statistics
import time

import numpy as np
from absl import flags

from mptrec_tf.bin import program

_ROWS = flags.DEFINE_integer("rows", 53_206, "Rows of an epoch.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 7, "Epochs of each stage.", lower_bound=2)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Rows of a step.", lower_bound=1)
_CATEGORICAL, _NUMERIC, _IDS, _TASKS = 28, 11, 493, ("income", "marital")


def main(_) -> None:
    """Runs the benchmark."""
    import tensorflow as tf

    from mptrec_tf.data.features.input_shape import InputShape
    from mptrec_tf.data.packed import LABELS
    from mptrec_tf.data.tasks.binary import BinaryTask
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.keras import keras
    from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
    from mptrec_tf.models.prompted import PromptedMPTRec
    from mptrec_tf.models.shapes import MPTRecShape
    from mptrec_tf.models.trainer import Plan
    from mptrec_tf.training import loop
    from mptrec_tf.training.batches import make_memory_rows, make_training_batches
    from mptrec_tf.training.configurations import TrainingConfig
    from mptrec_tf.training.representations import encode_rows

    class EpochTimes(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.begin = time.perf_counter()
            if not epoch:
                self.seconds = []

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.begin)

    def measure_speeds(model, rows) -> list[float]:
        times = EpochTimes()
        steps = rows.steps(_BATCH_SIZE.value)
        loop.compile_model(model, TrainingConfig(), steps)
        batches = make_training_batches(rows, _BATCH_SIZE.value, seed=1, epochs=_EPOCHS.value)
        model.fit(
            batches,
            epochs=_EPOCHS.value,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[times],
        )
        return [rows.count / seconds for seconds in times.seconds[1:]]

    loop.seed_everything(1)
    random = np.random.default_rng(1)
    count = _ROWS.value
    per_feature = _IDS // _CATEGORICAL
    ids = random.integers(per_feature, size=(count, _CATEGORICAL))
    rows = make_memory_rows(
        {
            "categorical": tf.constant(ids + per_feature * np.arange(_CATEGORICAL)),
            "numeric": tf.constant(random.random((count, _NUMERIC), np.float32)),
            LABELS: tf.constant(random.integers(2, size=(count, len(_TASKS))), tf.float32),
        }
    )
    shape = MPTRecShape(
        _TASKS, (InputShape("categorical", _CATEGORICAL, _IDS), InputShape("numeric", _NUMERIC))
    )
    plan = Plan(_EPOCHS.value * rows.steps(_BATCH_SIZE.value), count)
    tasks = [BinaryTask(name, name, ("1",)) for name in _TASKS]
    model = MPTRecTrainer(MPTRec(shape), tasks, plan=plan)
    speeds = {"1, pre-training": measure_speeds(model, rows)}
    prompted = PromptedMPTRec(model.backbone)
    prompted.add_task(BinaryTask("new", "new", ("1",)))
    begin = time.perf_counter()
    encoded = encode_rows(prompted, rows, directory="")
    speeds["encoding, once"] = [count / (time.perf_counter() - begin)]
    speeds["2, prompt tuning from encoded rows"] = measure_speeds(prompted, encoded)
    table = [
        {
            "stage": stage,
            "median_samples/s": round(statistics.median(values)),
            "least": round(min(values)),
            "most": round(max(values)),
        }
        for stage, values in speeds.items()
    ]
    print_table(table, f"{count:,} rows, batch {_BATCH_SIZE.value}, {_EPOCHS.value - 1} epochs")


if __name__ == "__main__":
    program.run(main)
