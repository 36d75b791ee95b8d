r"""How long mptrec-watch takes for a million logged requests.

    python benchmarks/watching.py --model=saved_models/shop --dataset=synthetic_logs

Writes logs of the model's own predictions for the data set's test rows, request after request in
random order with ids, then runs mptrec-watch on them in a process of its own, without labels and
with a label for each row, and prints wall and processor time of each. `--bound` ends it with an
error if a run takes longer.
"""

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import prediction_log_pb2

import mptrec_tf  # noqa: F401  (first: it selects Keras 2)
from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.evaluation.report import print_table
from mptrec_tf.inference.saved_model import LoadedModel

_MODEL = flags.DEFINE_string("model", None, "Directory that mptrec-export wrote.", required=True)
_DATASET = flags.DEFINE_string("dataset", "synthetic_logs", "The built-in data set of the model.")
_ROWS = flags.DEFINE_integer("rows", 20_000, "Rows of the data set, as of mptrec-prepare --rows.")
_REQUESTS = flags.DEFINE_integer("requests", 1_000_000, "Logged requests.")
_CANDIDATES = flags.DEFINE_integer("candidates", 1, "Rows of a request.")
_BOUND = flags.DEFINE_float("bound", None, "Seconds that a run may take.")
_FILES, _DAYS, _START = 4, 8, 1_750_000_000


def make_bodies(model: LoadedModel, block: Block, candidates: int) -> list[tuple[bytes, bytes]]:
    """Returns serialized requests, without ids, and responses for the rows of a block."""
    predictions, bodies = model.predict(block), []
    inputs = {}
    for name, dtype in model.column_types.items():
        values = model.spec.raw_columns[name].read_request(model.spec, block)
        inputs[model.card["inputs"][name]] = np.asarray(
            values, object if dtype == tf.string else np.float32
        )
    for first in range(0, len(block) - candidates + 1, candidates):
        part = slice(first, first + candidates)
        log = prediction_log_pb2.PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.name = "shop"
        predict.request.model_spec.signature_name = "columns_with_id"
        predict.response.model_spec.version.value = int(os.path.basename(model.path))
        for where, arrays in (
            (predict.request.inputs, inputs),
            (predict.response.outputs, predictions),
        ):
            for name, values in arrays.items():
                where[name].CopyFrom(tf.make_tensor_proto(values[part]))
        bodies.append((predict.request.SerializeToString(), predict.response.SerializeToString()))
    return bodies


def frame(number: int, content: bytes) -> bytes:
    """Returns a message as field `number` of another one."""
    size, length = len(content), b""
    while size >= 128:
        length += bytes([size % 128 + 128])
        size //= 128
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def write(folder: str, bodies: list[tuple[bytes, bytes]], count: int, candidates: int) -> None:
    """Writes request logs and labels."""
    random = np.random.default_rng(0)
    chosen = random.integers(len(bodies), size=count)
    clicks = random.random((count, candidates)) < 0.25
    with open(f"{folder}/labels.csv", "w", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(["request_id", "click"])
        for part in range(_FILES):
            with tf.io.TFRecordWriter(f"{folder}/requests-{part}.tfrecord") as writer:
                for number in range(part * count // _FILES, (part + 1) * count // _FILES):
                    ids = [f"{number:x}-{i}" for i in range(candidates)]
                    log = prediction_log_pb2.PredictionLog()
                    log.log_metadata.timestamp_secs = _START + number * 86_400 * _DAYS // count
                    more = log.predict_log.request.inputs["request_id"]
                    more.dtype, more.string_val[:] = types_pb2.DT_STRING, [i.encode() for i in ids]
                    more.tensor_shape.dim.add(size=candidates)
                    request, response = bodies[chosen[number]]
                    # To copy messages that are the same again and again would take minutes.
                    request += log.predict_log.request.SerializeToString()
                    predict = frame(1, request) + frame(2, response)
                    metadata = frame(1, log.log_metadata.SerializeToString())
                    writer.write(metadata + frame(6, predict))
                    labels.writerows(zip(ids, clicks[number].astype(int), strict=True))


def run(folder: str, *more: str) -> dict[str, float]:
    """Runs mptrec-watch; returns its wall and processor seconds."""
    command = [sys.executable, "-m", "mptrec_tf.bin.watch", f"--model={_MODEL.value}"]
    command += [f"--logs={folder}/requests-*", f"--output={folder}/watch.html", *more]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": wall, "processor_seconds": used, "memory_GB": after.ru_maxrss / 1e6}


def main(_: list[str]) -> None:
    """Runs the benchmark."""
    model = LoadedModel(_MODEL.value)
    source = open_source(_DATASET.value, rows=_ROWS.value)
    bodies = []
    for block in read_split(source, "test"):
        bodies += make_bodies(model, block, _CANDIDATES.value)
    with tempfile.TemporaryDirectory() as folder:
        write(folder, bodies, _REQUESTS.value, _CANDIDATES.value)
        size = sum(entry.stat().st_size for entry in os.scandir(folder)) / 1e9
        rows = [
            {"labels": "none", **run(folder)},
            {"labels": "all rows", **run(folder, f"--labels={folder}/labels.csv")},
        ]
    title = f"{_REQUESTS.value:,} requests of {_CANDIDATES.value} rows, {size:.2f} GB"
    print_table(rows, title)
    slow = [row for row in rows if _BOUND.value and row["seconds"] > _BOUND.value]
    if slow:
        raise SystemExit(f"it took {slow[0]['seconds']:.0f} s, more than {_BOUND.value:g} s")


if __name__ == "__main__":
    app.run(main)
