"""A version with its baseline, and request logs as TF Serving writes them."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.export.serving_model import export
from mptrec_tf.keras import keras
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import make_head
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training.baseline import describe_rows, describe_tasks
from mptrec_tf.training.batches import load_rows
from mptrec_tf.watching.watched_version import open_version

DAY = 86_400
START = 20_000 * DAY  # 2024-10-04


@pytest.fixture(scope="session")
def watched(synthetic_backbone, prepared_synthetic, tmp_path_factory):
    """Base path of a model; its added task is of a release that stored no baseline."""
    backbone = load_backbone(str(synthetic_backbone))
    data, names = PreparedData(str(prepared_synthetic)), ("click", "like")
    train, validation = (load_rows(data, split, names) for split in ("train", "validation"))
    tasks = data.spec.select_tasks(names)
    baseline = describe_rows(data, train, validation)
    baseline["tasks"] = describe_tasks(Trainer(backbone.model, tasks), tasks, validation)
    training = {"history": [], "baseline": json.loads(to_json(baseline))}
    keras.utils.set_random_seed(2)
    head = make_head(PromptConfig(tower_units=(4,)), backbone.model.layout, "share")
    [share] = backbone.spec.select_tasks(["share"])
    package = TaskPackage("tasks/share", share, head, backbone.fingerprint, {})
    base = tmp_path_factory.mktemp("watched") / "shop"
    export(dataclasses.replace(backbone, training=training), [package], str(base))
    return base


@pytest.fixture(scope="session")
def version(watched):
    return open_version(str(watched))


@pytest.fixture(scope="session")
def rows(block, model):
    """The raw columns of 300 rows."""
    return {name: block.columns[name] for name in model.column_types}


def make_record(inputs, outputs, seconds=START, name="shop", number=1, signature="columns"):
    """Returns a logged request as TF Serving writes it: numbers as float_val."""
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = seconds
    log.log_metadata.model_spec.name = name
    predict = log.predict_log
    predict.request.model_spec.name = name
    predict.request.model_spec.signature_name = signature
    predict.response.model_spec.CopyFrom(predict.request.model_spec)
    predict.response.model_spec.version.value = number
    for where, arrays in ((predict.request.inputs, inputs), (predict.response.outputs, outputs)):
        for key, values in arrays.items():
            array = np.asarray(values)
            if array.dtype.kind in "OU":
                proto = tf.make_tensor_proto(array.astype(object), tf.string)
            else:
                proto = tf.make_tensor_proto([0.0])
                proto.ClearField("tensor_shape")
                proto.float_val[:] = array.astype(float).ravel().tolist()
                for size in array.shape:
                    proto.tensor_shape.dim.add(size=size)
            where[key].CopyFrom(proto)
    return log.SerializeToString()


@pytest.fixture(scope="session")
def record():
    return make_record


@pytest.fixture
def write(tmp_path):
    """Writes records to a log file; returns its path."""

    def write(records, name="requests.tfrecord"):
        path = tmp_path / name
        options = "GZIP" if name.endswith(".gz") else ""
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for one in records:
                writer.write(one)
        return path

    return write


@pytest.fixture(scope="session")
def predict():
    """Made-up predictions of the tasks for n rows."""

    def predict(count, first=0):
        values = (np.arange(first, first + count) % 7 + 1) / 10
        return {"click": values, "like": values / 2, "share": values / 4}

    return predict
