"""The cost of one more task: a request's latency by the number of added tasks.

    python benchmarks/serving_tasks.py --backbone=BACKBONE

Exports the backbone with 0, 1, 2, 4, ... 64 added tasks whose heads are of one kind (untrained:
their predictions do not matter here), and calls all of these models in turn, some calls each, as a
server does. The cost of one more task is the growth of the median from one task to the most,
divided by the number of tasks between. The first task of a shape begins a computation of its own,
and is shown separately. One more task must cost at most 3% of the backbone.
"""

import dataclasses
import os
import statistics
import tempfile
import time

import numpy as np
from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

BOUND = 0.03
_WARM, _CALLS = 5, 25  # calls of a model in each turn

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_KINDS = flags.DEFINE_list("kinds", ["residual_small", "residual", "fixed", "prompt"], "Heads.")
_COUNTS = flags.DEFINE_list("counts", ["1", "2", "4", "8", "16", "32", "64"], "Numbers of tasks.")
_CANDIDATES = flags.DEFINE_integer("candidates", 64, "Rows of a request.", 1)
_SECONDS = flags.DEFINE_float("seconds", 3.0, "Seconds of calls for each model.", 0.1)
flags.mark_flags_as_required(["backbone"])


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if a task costs more than its bound.
    """
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.evaluation.report import print_table

    backbone = load_backbone(_BACKBONE.value)
    counts = [0, *map(int, _COUNTS.value)]
    table, missed = [], []
    for kind in _KINDS.value:
        with tempfile.TemporaryDirectory() as folder:
            times = _measure([_make_servable(backbone, kind, n, folder) for n in counts])
        alone, first = times[:2]
        more = (times[-1] - first) / (counts[-1] - counts[1])
        row = {"head": kind} | {f"{n}_ms": 1e3 * t for n, t in zip(counts, times, strict=True)}
        table.append(row | {"first_us": 1e6 * (first - alone), "one_more_us": 1e6 * more})
        table[-1]["one_more_of_backbone"] = f"{more / alone:.1%}"
        if more / alone > BOUND:
            missed.append(f"{kind}: {more / alone:.1%}")
    print_table(table, f"{_CANDIDATES.value} candidates a request, {os.cpu_count()} cores, medians")
    if missed:
        raise InputError(
            f"one more task costs more than {BOUND:.0%} of the backbone: {', '.join(missed)}."
        )


def _make_servable(backbone, kind: str, count: int, folder: str):
    from mptrec_tf.artifacts.task_packages import TaskPackage
    from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
    from mptrec_tf.export.serving_model import save_model
    from mptrec_tf.models.heads.registry import HEADS, make_head
    from mptrec_tf.serving.server.servable import Servable

    transform = open_transform(backbone.transform_dir)
    ranges = get_id_ranges(backbone.spec, transform)
    label = dataclasses.replace(backbone.spec.tasks[0], label="a column that is not a feature")
    packages = []
    for number in range(count):
        task = dataclasses.replace(label, name=f"task_{number}")
        shape = HEADS.get(kind).make_shape(tuple(ranges))
        head = make_head(shape, backbone.model.layout, task.name)
        packages.append(TaskPackage("", task, head, backbone.fingerprint, {}))
    path = f"{folder}/{count}"
    save_model(backbone, packages, path)
    return Servable(path)


def _measure(servables) -> list[float]:
    """Returns the median seconds of a call of each, called in turn."""
    random = np.random.default_rng(1)
    inputs = {}
    for name, tensor in servables[0].signatures["columns"].inputs.items():
        if tensor.dtype.name == "string":
            values = np.empty(_CANDIDATES.value, object)
            values[:] = [str(v).encode() for v in random.integers(500, size=_CANDIDATES.value)]
        else:
            values = random.random(_CANDIDATES.value).astype(tensor.dtype.as_numpy_dtype)
        inputs[name] = values
    times = [[] for _ in servables]
    for servable in servables:
        servable.warm_up()
    end = time.perf_counter() + _SECONDS.value * len(servables)
    while time.perf_counter() < end:
        for servable, own in zip(servables, times, strict=True):
            # As in production: the caches should hold this model, not the one before.
            for call in range(_WARM + _CALLS):
                start = time.perf_counter()
                servable.run("columns", inputs)
                if call >= _WARM:
                    own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


if __name__ == "__main__":
    program.run(main)
