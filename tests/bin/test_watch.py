"""mptrec-watch as a program: what it prints and writes, and its exit status for a scheduler."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from mptrec_tf.inference.saved_model import LoadedModel


@pytest.fixture(scope="module")
def served(synthetic_runs, tmp_path_factory):
    """The folder of logs and labels of 300 test rows, five times."""
    from mptrec_tf.data.sources.tabular import read_file
    from mptrec_tf.data.text_format import TextFormat

    folder = tmp_path_factory.mktemp("served")
    model = LoadedModel(str(synthetic_runs.model / "3"))
    (block,) = read_file(str(synthetic_runs.rows), TextFormat())
    predictions = model.predict(block)
    columns = {}
    for name, dtype in model.column_types.items():
        values = model.spec.raw_columns[name].read_request(model.spec, block)
        columns[name] = np.asarray(values, object if dtype == tf.string else np.float32)
    with (
        tf.io.TFRecordWriter(str(folder / "requests.tfrecord")) as writer,
        open(folder / "labels.csv", "w", newline="") as file,
    ):
        labels = csv.writer(file)
        labels.writerow(["shown", "click"])
        for time in range(5):
            log = prediction_log_pb2.PredictionLog()
            log.log_metadata.timestamp_secs = 1_700_000_000 + 86_400 * time
            predict = log.predict_log
            predict.request.model_spec.name = "shop"
            predict.request.model_spec.signature_name = "columns_with_id"
            predict.response.model_spec.version.value = 3
            ids = [f"{time}/{i}" for i in range(len(block))]
            for name, values in {**columns, "request_id": np.array(ids, object)}.items():
                predict.request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            for name, values in predictions.items():
                predict.response.outputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())
            labels.writerows(zip(ids, block.columns["click"], strict=True))
    return folder


@pytest.fixture
def flags(synthetic_runs, served):
    return f"--model={synthetic_runs.model / '3'}", f"--logs={served}/requests*"


def test_nothing_to_do(run_program, flags, served, tmp_path):
    done = run_program(
        "watch",
        *flags,
        "--max_drift=0.5",
        "--max_unknown=0.5",
        "--margin=0.2",
        "--max_calibration=1",
        f"--labels={served}/labels.csv",
        "--request_id=shown",
        f"--output={tmp_path}/watch.html",
        f"--json={tmp_path}/watch.json",
    )
    assert "5 requests of 1,500 rows. Nothing: the model fits what it is asked" in done.stdout
    found = json.loads((tmp_path / "watch.json").read_text())
    assert (found["recommendation"], found["rows"]) == ("nothing", 1500)
    assert found["tasks"]["click"]["rows"] == 1500
    assert found["tasks"]["click"]["days"][0]["rows"] == 300
    assert (tmp_path / "watch.html").read_text().startswith("<!DOCTYPE html>")


def test_something_is_recommended(run_program, flags, tmp_path):
    done = run_program("watch", *flags, "--max_drift=0", "--json=-", check=False)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)  # which holds the data alone
    assert found["recommendation"] == "refresh"
    assert "[refresh] " in done.stderr


def test_mistakes(run_rejected, flags, synthetic_runs, served):
    model, logs = flags
    first = f"--model={synthetic_runs.model / '1'}"
    assert "5 of another version; give the logs of" in run_rejected("watch", first, logs)
    assert "hold no request" not in run_rejected("watch", model, f"--logs={served}/labels.csv")
    message = run_rejected("watch", *flags, f"--labels={served}/labels.csv")
    assert "labels.csv has no column 'request_id'; it has shown, click" in message
