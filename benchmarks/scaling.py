r"""How time and memory grow with rows, ids, tasks, the batch and the candidates of a request.

    python benchmarks/scaling.py --output_dir=build/scaling
    python benchmarks/scaling.py --output_dir=build/scaling --curves=rows --points=100000,1000000

Each curve has its own points, which --points replaces:

    rows         `mptrec-prepare` of Ali-CCP's sample, and an epoch of `mptrec-pretrain` on it
    vocabulary   ids of all features: a step of stage 1, by `--l2_embedding_over`
    tasks        tasks that are pre-trained: samples a second of stage 1
    batch        rows of a step: samples a second of stages 1 and 2
    added        tasks that are added to one backbone: a request's call, and the version's bytes
    candidates   rows of a request: its call

Where rows are not prepared they are random, of Census-Income's shape. Measured points are in
OUTPUT/<curve>.json and are not measured again; OUTPUT/scaling.png shows all curves that are there,
and their tables are printed.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import flags
from process_memory import measure
from training_speed import make_rows, make_trainer, measure_epochs

from mptrec_tf.bin import program

_OUTPUT_DIR = flags.DEFINE_string("output_dir", "build/scaling", "Directory of the results.")
_CURVES = flags.DEFINE_list("curves", [], "Curves. Default: all.")
_POINTS = flags.DEFINE_list("points", [], "Points of these curves, instead of their own.")
_OLD = ("first", "second")
_BATCH, _EPOCHS = 4096, 5
_CALLS, _LEAST_SECONDS = 30, 3.0  # of a request
_MOST_FOR_TABLE = 1_000_000  # ids whose whole table is changed in a step here

Point = dict[str, Any]


def measure_rows(rows: int) -> Point:
    """Prepares so many rows and trains on them, each in a process of its own."""
    from mptrec_tf.data.sets.registry import DATASETS

    with tempfile.TemporaryDirectory() as directory:
        os.mkdir(f"{directory}/files")
        DATASETS.get("ali_ccp").write_sample(f"{directory}/files", rows, 1, lambda _: None)
        data = f"{directory}/data"
        prepared = _run(
            *("prepare", "--dataset=ali_ccp", f"--data_dir={directory}/files"),
            f"--output_dir={data}",
        )
        with open(f"{data}/data.json") as file:
            of_splits = {k: of["rows"] for k, of in json.load(file)["splits"].items()}
        trained = _run(
            *("pretrain", f"--data={data}", f"--output_dir={directory}/backbone"),
            *("--tasks=click", "--epochs=1", f"--batch_size={_BATCH}", "--assignment=online"),
            "--l2_embedding_over=batch",
        )
    return {
        "training_rows": of_splits["train"],
        "prepare_s": prepared["seconds"],
        "prepare_processor_s": prepared["processor_seconds"],
        "prepare_GB": prepared["mb_of_all"] / 1000,
        "epoch_s": trained["seconds"],
        "epoch_GB": trained["mb_of_all"] / 1000,
    }


def _run(name: str, *flags_of_it: str) -> Mapping[str, Any]:
    return measure([sys.executable, "-m", f"mptrec_tf.bin.{name}", *flags_of_it])


def measure_vocabulary(ids: int) -> Point:
    """Times a step whose batch reads few of the ids."""
    ways = ["batch"] if ids > _MOST_FOR_TABLE else ["batch", "table"]
    return {
        f"{over}_ms": 1e3 * _BATCH / _speed(_BATCH, ids=ids, shape={"l2_embedding_over": over})
        for over in ways
    }


def measure_tasks(count: int) -> Point:
    """Times stage 1 with so many tasks."""
    return {"samples_per_s": _speed(_BATCH, tasks=count)}


def measure_batch(rows: int) -> Point:
    """Times both stages at a batch of so many rows."""
    from mptrec_tf.data.tasks.binary import BinaryTask
    from mptrec_tf.models.prompted import PromptedMPTRec
    from mptrec_tf.training.representations import encode_rows

    raw = make_rows(20 * rows if rows > _BATCH else 20 * _BATCH, len(_OLD))
    model = make_trainer(_OLD, _EPOCHS * raw.steps(rows), raw.count)
    first = raw.count / statistics.median(measure_epochs(model, raw, rows, _EPOCHS))
    prompted = PromptedMPTRec(model.backbone)
    prompted.add_task(BinaryTask("new", "new", ("1",)))
    encoded = encode_rows(prompted, raw, directory="")
    second = raw.count / statistics.median(measure_epochs(prompted, encoded, rows, _EPOCHS))
    return {"stage_1_samples_per_s": first, "stage_2_samples_per_s": second}


def _speed(batch: int, *, tasks: int = len(_OLD), shape: Mapping = {}, **of_rows: int) -> float:
    """Returns samples a second of stage 1."""
    rows = make_rows(20 * batch, tasks, **of_rows)
    names = [f"task_{number}" for number in range(tasks)]
    model = make_trainer(names, _EPOCHS * rows.steps(batch), rows.count, **of_rows, **shape)
    return rows.count / statistics.median(measure_epochs(model, rows, batch, _EPOCHS))


def measure_added(count: int) -> Point:
    """Times a request of 64 candidates where so many tasks were added."""
    with tempfile.TemporaryDirectory() as directory:
        path = _export(directory, count)
        size = sum(
            os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(path)
            for name in names
        )
        return {"call_ms": _time_request(path, 64), "version_MB": size / 1e6}


def measure_candidates(rows: int) -> Point:
    """Times a request of so many candidates."""
    with tempfile.TemporaryDirectory() as directory:
        return {"call_ms": _time_request(_export(directory, 1), rows)}


def _export(directory: str, added: int) -> str:
    """Exports a small backbone of the synthetic logs, untrained, with added tasks of one kind."""
    import dataclasses

    from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
    from mptrec_tf.artifacts.task_packages import TaskPackage
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
    from mptrec_tf.export.serving_model import save_model
    from mptrec_tf.models.heads.registry import HEADS, make_head
    from mptrec_tf.models.mptrec import MPTRec
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import PretrainingConfig
    from mptrec_tf.training.statistics import compute_statistics

    data = f"{directory}/data"
    _run("prepare", "--dataset=synthetic", "--rows=6000", f"--output_dir={data}")
    prepared, old = PreparedData(data), ("click", "like")
    model = MPTRec(PretrainingConfig(old).make_shape(prepared))
    model.set_statistics(compute_statistics(model, load_rows(prepared, "train", old)))
    os.mkdir(f"{directory}/backbone")
    record = {"history": []}
    save_backbone(f"{directory}/backbone", model, prepared.spec, prepared.transform_dir, record)
    backbone = load_backbone(f"{directory}/backbone")
    ranges = get_id_ranges(backbone.spec, open_transform(backbone.transform_dir))
    task = dataclasses.replace(backbone.spec.tasks[0], label="a column that is not a feature")
    packages = []
    for number in range(added):
        new = dataclasses.replace(task, name=f"task_{number}")
        shape = HEADS.get("residual_small").make_shape(tuple(ranges))
        head = make_head(shape, backbone.model.layout, new.name)
        packages.append(TaskPackage("", new, head, backbone.fingerprint, {}))
    save_model(backbone, packages, f"{directory}/1")
    return f"{directory}/1"


def _time_request(path: str, rows: int) -> float:
    """Returns the median milliseconds of a call of a version, as a server makes it."""
    from mptrec_tf.serving.server.servable import Servable

    servable, random, inputs = Servable(path), np.random.default_rng(1), {}
    for name, tensor in servable.signatures["columns"].inputs.items():
        if tensor.dtype.name == "string":
            inputs[name] = np.array([str(v).encode() for v in random.integers(50, size=rows)])
            inputs[name] = inputs[name].astype(object)
        else:
            inputs[name] = random.random(rows).astype(tensor.dtype.as_numpy_dtype)
    servable.run("columns", inputs)
    times: list[float] = []
    while len(times) < _CALLS or sum(times) < _LEAST_SECONDS:
        begin = time.perf_counter()
        servable.run("columns", inputs)
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


CURVES: Mapping[str, tuple[Callable[[int], Point], tuple[int, ...]]] = {
    "rows": (measure_rows, (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)),
    "vocabulary": (measure_vocabulary, (10_000, 100_000, 1_000_000, 10_000_000)),
    "tasks": (measure_tasks, (2, 4, 8, 16, 32)),
    "batch": (measure_batch, (256, 1024, 4096, 16_384)),
    "added": (measure_added, (1, 4, 16, 64, 256)),
    "candidates": (measure_candidates, (1, 8, 64, 512, 2048)),
}


def draw(curves: Mapping[str, Mapping[int, Point]], path: str) -> None:
    """Draws each value of each curve in a panel of its own, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [
        (name, value)
        for name, points in curves.items()
        for value in dict.fromkeys(key for point in points.values() for key in point)
    ]
    columns = 4
    figure, axes = pyplot.subplots(
        -(-len(panels) // columns), columns, figsize=(14, 2.9 * -(-len(panels) // columns))
    )
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, (name, value) in zip(axes.flat, panels, strict=False):
        places = [(x, point[value]) for x, point in curves[name].items() if value in point]
        axis.loglog(*zip(*places, strict=True), marker="o")
        axis.set(xlabel=name, title=value)
        axis.set_ylim(min(y for _, y in places) / 2, max(y for _, y in places) * 2)
        axis.grid(which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: for a curve that is not there.
    """
    from mptrec_tf.errors import InputError
    from mptrec_tf.evaluation.report import print_table

    names, directory = _CURVES.value or list(CURVES), _OUTPUT_DIR.value
    unknown = set(names) - set(CURVES)
    if unknown:
        raise InputError(f"--curves: {sorted(unknown)[0]!r} is none of {', '.join(CURVES)}.")
    os.makedirs(directory, exist_ok=True)
    curves: dict[str, dict[int, Point]] = {}
    for name, (measure_point, own_points) in CURVES.items():
        path = f"{directory}/{name}.json"
        if os.path.exists(path):
            with open(path) as file:
                curves[name] = {int(x): point for x, point in json.load(file).items()}
        for point in map(int, (_POINTS.value or own_points) if name in names else ()):
            of_curve = curves.setdefault(name, {})
            if point in of_curve:
                continue
            print(f"{name}: {point:,}", file=sys.stderr, flush=True)
            of_curve[point] = measure_point(point)
            curves[name] = dict(sorted(of_curve.items()))
            with open(path, "w") as file:
                json.dump(curves[name], file, indent=1)
    for name, points in curves.items():
        table = [
            {name: f"{x:,}"} | {key: float(f"{value:.3g}") for key, value in point.items()}
            for x, point in points.items()
        ]
        print_table(table, f"{name}; {os.cpu_count()} cores")
    draw(curves, f"{directory}/scaling.png")


if __name__ == "__main__":
    program.run(main)
