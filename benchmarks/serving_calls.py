r"""What a request costs in exported versions, in turn: the call that a server makes of each.

    python benchmarks/serving_calls.py --models=OLD/1,NEW/1 --shared=age,education

Values are those of the model card, the more frequent ones more often, so that nearly all are known.
With --shared the columns of the user are given once for a request, as well as for each candidate.
Prints the median milliseconds, and their ratio to those of the first version.
"""

import json
import os
import statistics
import time

import numpy as np
from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

_MODELS = flags.DEFINE_list("models", None, "Versions of models with the same columns.")
_SHARED = flags.DEFINE_list("shared", [], "Inputs of the signature that all candidates share.")
_CANDIDATES = flags.DEFINE_list("candidates", ["1", "16", "128", "512"], "Rows of a request.")
_SECONDS = flags.DEFINE_float("seconds", 5.0, "Seconds for each version and request.", 0.1)
flags.mark_flags_as_required(["models"])

_NUMBERS = 60  # numbers are drawn below it


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if the versions have other columns than the first one.
    """
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.serving.server.servable import Servable

    versions = [path.rstrip("/") for path in _MODELS.value]
    servables = [Servable(path) for path in versions]
    names = [sorted(servable.signatures["columns"].inputs) for servable in servables]
    for path, of in zip(versions, names, strict=True):
        if of != names[0]:
            raise InputError(f"{path} has the columns {of}, {versions[0]} has {names[0]}.")
    for name in _SHARED.value:
        if name not in names[0]:
            raise InputError(f"--shared: {name!r} is no column; there are {names[0]}.")
    table = []
    for rows in map(int, _CANDIDATES.value):
        inputs = make_request(versions[0], servables[0], rows)
        requests = {"each": inputs}
        if _SHARED.value and rows > 1:
            once = {name: inputs[name][:1] for name in _SHARED.value}
            requests["once"] = inputs | once
        for way, request in requests.items():
            times = measure(servables, request)
            line = {"candidates": rows, "shared columns": way if _SHARED.value else "none"}
            for number, seconds in enumerate(times, 1):
                line |= {f"{number}: ms": 1e3 * seconds, f"{number}: ratio": seconds / times[0]}
            table.append(line)
    print_table(table, f"{', '.join(versions)}; {os.cpu_count()} cores, medians")


def make_request(path: str, servable, rows: int) -> dict[str, np.ndarray]:
    """Returns random values of the columns of a version, [rows] each."""
    from mptrec_tf.export.versions import CARD

    with open(os.path.join(path, CARD), encoding="utf-8") as file:
        features = json.load(file)["features"]
    known = {f["name"]: f["domain"]["values"] for f in features if "values" in f["domain"]}
    random = np.random.default_rng(1)
    inputs = {}
    for name, tensor in servable.signatures["columns"].inputs.items():
        if tensor.dtype.name != "string":
            inputs[name] = random.integers(_NUMBERS, size=rows).astype(tensor.dtype.as_numpy_dtype)
            continue
        values = known.get(name) or [str(number) for number in range(_NUMBERS)]
        places = np.minimum(random.geometric(0.4, rows) - 1, len(values) - 1)
        inputs[name] = np.array([values[place].encode() for place in places], object)
    return inputs


def measure(servables, request) -> list[float]:
    """Returns the median seconds of a call of each version; they take turns."""
    times: list[list[float]] = [[] for _ in servables]
    for servable in servables:
        servable.run("columns", request)
    end = time.perf_counter() + _SECONDS.value * len(servables)
    while time.perf_counter() < end:
        for servable, own in zip(servables, times, strict=True):
            start = time.perf_counter()
            servable.run("columns", request)
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


if __name__ == "__main__":
    program.run(main)
