"""Warm-up requests, which a server runs before it serves a version, so that no caller has to wait.

TF Serving (and mptrec-serve) replays `assets.extra/tf_serving_warmup_requests`. They call every
signature with batches of 1, 2, 4, ... rows, up to the largest into which servers merge requests
(`saved_models/batching_parameters.txt`): the first batch of each size is slow.
"""

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from mptrec_tf.data.input_names import make_input_names
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.export.versions import WARMUP

LARGEST_BATCH = 512


def write_warmup(directory: str, spec: DatasetSpec) -> None:
    """Writes the requests into a version's directory."""
    path = os.path.join(directory, WARMUP)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for request in _make_requests(spec):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString(deterministic=True))


def _make_requests(spec: DatasetSpec) -> Iterator[predict_pb2.PredictRequest]:
    """Yields requests of empty texts and zeros, which are valid for every model."""
    features = raw_feature_spec(spec)
    names = make_input_names(features)
    example = tf.train.Example()
    for name, feature in features.items():
        if feature.dtype == tf.string:
            example.features.feature[name].bytes_list.value.append(b"")
        else:
            zeros = np.zeros(feature.shape).ravel().tolist()
            example.features.feature[name].float_list.value.extend(zeros)
    serialized = example.SerializeToString(deterministic=True)
    sizes = [2**k for k in range(LARGEST_BATCH.bit_length())]
    for rows in sizes:
        examples = {"examples": np.array([serialized] * rows, object)}
        columns = {
            names[name]: np.array([b""] * rows, object)
            if feature.dtype == tf.string
            else np.zeros([rows, *feature.shape], feature.dtype.as_numpy_dtype)
            for name, feature in features.items()
        }
        for signature, inputs in (
            ("serving_default", examples),
            ("columns", columns),
            ("encode", examples),
        ):
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            yield request
