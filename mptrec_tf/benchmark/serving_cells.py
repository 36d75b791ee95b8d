"""What the cells of a benchmark do that measure the cost of serving: exported models, called."""

import dataclasses
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mptrec_tf.artifacts.backbones import StoredBackbone, load_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.benchmark.cells import Serve
from mptrec_tf.benchmark.place import Place
from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
from mptrec_tf.export.serving_model import save_model
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.serving.server.servable import Servable

_WARM, _CALLS = 5, 25  # calls of a model in each turn
_LABEL = "a column that is not a feature"


def measure_serving(cell: Serve, place: Place) -> dict[str, Any]:
    """Measures the median time of a request by the number of added tasks.

    Heads have fresh weights: predictions do not matter here. The models are called in turn, some
    calls each, as a server does. The cost of one more task is the growth from one task to the
    most, divided by the number of tasks between: the first task of a shape begins a computation
    of its own.
    """
    backbone = load_backbone(place.backbone(cell.backbone))
    counts = cell.counts if cell.head else (0,)
    with tempfile.TemporaryDirectory(dir=os.path.join(place.directory, "work")) as folder:
        paths = [_export(backbone, cell.head, count, f"{folder}/{count}") for count in counts]
        seconds = _measure([Servable(path) for path in paths], cell.candidates, cell.seconds)
        size = sum(
            os.path.getsize(os.path.join(where, name))
            for where, _, names in os.walk(paths[0])
            for name in names
        )
    result = {
        "model": cell.backbone.model,
        "head": cell.head,
        "candidates": cell.candidates,
        "milliseconds": {str(n): 1e3 * s for n, s in zip(counts, seconds, strict=True)},
        "alone_milliseconds": 1e3 * seconds[0],
        "saved_model_bytes": size,
        "features": len(backbone.spec.features),
    }
    if len(counts) > 2:
        more = (seconds[-1] - seconds[1]) / (counts[-1] - counts[1])
        result |= {
            "first_microseconds": 1e6 * (seconds[1] - seconds[0]),
            "one_more_microseconds": 1e6 * more,
            "one_more_share": more / seconds[0],
        }
    return result


def _export(backbone: StoredBackbone, kind: str, count: int, path: str) -> str:
    """Saves a model with so many tasks whose heads are of one kind; returns the path."""
    packages = []
    if count:
        ranges = tuple(get_id_ranges(backbone.spec, open_transform(backbone.transform_dir)))
        label = dataclasses.replace(
            backbone.spec.select_tasks(backbone.shape.tasks)[0], label=_LABEL
        )
        for number in range(count):
            task = dataclasses.replace(label, name=f"added_{number}")
            head = make_head(HEADS.get(kind).make_shape(ranges), backbone.model.layout, task.name)
            packages.append(TaskPackage("", task, head, backbone.fingerprint, {}))
    save_model(backbone, packages, path)
    return path


def _measure(servables: Sequence[Servable], candidates: int, seconds: float) -> list[float]:
    """Returns the median seconds of a call of each, called in turn."""
    random = np.random.default_rng(1)
    inputs = {}
    for name, tensor in servables[0].signatures["columns"].inputs.items():
        if tensor.dtype.name == "string":
            values = np.empty(candidates, object)
            values[:] = [str(v).encode() for v in random.integers(500, size=candidates)]
        else:
            values = random.random(candidates).astype(tensor.dtype.as_numpy_dtype)
        inputs[name] = values
    times: list[list[float]] = [[] for _ in servables]
    for servable in servables:
        servable.warm_up()
    end = time.perf_counter() + seconds * len(servables)
    while time.perf_counter() < end or not all(times):
        for servable, own in zip(servables, times, strict=True):
            # As in production: the caches should hold this model, not the one before.
            for call in range(_WARM + _CALLS):
                start = time.perf_counter()
                servable.run("columns", inputs)
                if call >= _WARM:
                    own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]
