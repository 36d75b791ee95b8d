"""Training speed of both stages in samples per second, at the paper's shape for Census-Income.

    python benchmarks/throughput.py --epochs=7

Rows are random packed features of that shape (their values do not affect the speed). Each epoch is
timed by itself, input pipeline included; the first, which traces the graph, is left out, and the
median of the others is shown.
"""

import statistics
import time

from absl import flags
from training_speed import make_rows, make_trainer, measure_epochs

from mptrec_tf.bin import program

_ROWS = flags.DEFINE_integer("rows", 53_206, "Rows of an epoch.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 7, "Epochs of each stage.", lower_bound=2)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Rows of a step.", lower_bound=1)
_TASKS = ("income", "marital")


def main(_) -> None:
    """Runs the benchmark."""
    from mptrec_tf.data.tasks.binary import BinaryTask
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.models.prompted import PromptedMPTRec
    from mptrec_tf.training import loop
    from mptrec_tf.training.representations import encode_rows

    def measure_speeds(model, rows) -> list[float]:
        seconds = measure_epochs(model, rows, _BATCH_SIZE.value, _EPOCHS.value)
        return [rows.count / of_epoch for of_epoch in seconds]

    loop.seed_everything(1)
    count = _ROWS.value
    rows = make_rows(count, len(_TASKS))
    model = make_trainer(_TASKS, _EPOCHS.value * rows.steps(_BATCH_SIZE.value), count)
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
