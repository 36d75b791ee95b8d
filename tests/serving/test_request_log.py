"""mptrec-serve logs requests as TF Serving does."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import logging
import os
import threading
import time
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server import request_log
from mptrec_tf.serving.server.options import RequestLogOptions
from mptrec_tf.serving.server.request_log import RequestLogger
from mptrec_tf.serving.testing.local_server import LocalServer


def read(folder):
    paths = sorted(folder.glob("requests-*.tfrecord"))
    return [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for path in paths
        for record in tf.data.TFRecordDataset(str(path))
    ]


def log_some(logger, count):
    spec = model_pb2.ModelSpec(name="m", signature_name="columns")
    spec.version.value = 3
    for i in range(count):
        inputs = {"x": np.float32([i, i]), "name": np.array([b"a", b"b"], object)}
        logger.log(spec, inputs, {"click": np.float32([0.1, 0.2])}, ["click"])


def test_requests_over_both_protocols_are_logged(exported, columns, expected, tmp_path):
    folder = tmp_path / "requests"
    before = int(time.time())
    flags = (f"--log_requests={folder}", "--log_share=1")
    with LocalServer(exported, tmp_path, *flags) as server:
        for kind in ("gRPC", "REST"):
            with server.make_client(kind) as client:
                ids = [f"{kind}{i}" for i in range(20)]
                client.predict({**columns, "shown": ids}, request_id="shown")
                with pytest.raises(InputError, match="has no column 'seen'; the model needs it"):
                    client.predict(columns, request_id="seen")
        with server.make_client("gRPC") as client, pytest.raises(InputError):
            client.predict({**columns, "user_age": ["old"] * 20})
    logs = read(folder)
    assert [path.name for path in folder.iterdir() if "incomplete" in path.name] == []
    assert len(logs) == 2
    for kind, log in zip(("gRPC", "REST"), logs, strict=True):
        assert before <= log.log_metadata.timestamp_secs <= time.time()
        assert log.log_metadata.sampling_config.sampling_rate == 1
        request, response = log.predict_log.request, log.predict_log.response
        assert (request.model_spec.name, request.model_spec.version.value) == ("m", 1)
        assert response.model_spec.signature_name == "columns_with_id"
        ids = tf.make_ndarray(request.inputs["request_id"]).tolist()
        assert ids == [f"{kind}{i}".encode() for i in range(20)]
        for task, values in expected.items():
            np.testing.assert_allclose(tf.make_ndarray(response.outputs[task]), values, rtol=1e-5)


def test_a_share_is_drawn_and_files_are_whole(tmp_path):
    logger = RequestLogger(RequestLogOptions(str(tmp_path), share=0.25, most_waiting=5000))
    log_some(logger, 4000)
    logger.close()
    logs = read(tmp_path)
    assert 850 < len(logs) < 1150  # 1000, more than five deviations
    log = logs[0].predict_log
    assert list(log.request.output_filter) == ["click"]
    assert tf.make_ndarray(log.request.inputs["name"]).tolist() == [b"a", b"b"]
    assert log.response.model_spec.version.value == 3
    assert logger.lost == 0
    none = RequestLogger(RequestLogOptions(str(tmp_path / "none"), share=0.0))
    log_some(none, 100)
    none.close()
    assert list((tmp_path / "none").iterdir()) == []


def test_a_file_is_complete_when_it_is_large_or_old(tmp_path):
    options = RequestLogOptions(str(tmp_path), share=1.0, most_bytes=1500)
    logger = RequestLogger(options)
    log_some(logger, 30)
    logger.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert (len(read(tmp_path)), len(sizes) >= 3, max(sizes) < 2500) == (30, True, True)
    folder = tmp_path / "old"
    logger = RequestLogger(RequestLogOptions(str(folder), share=1.0, seconds=0.05))
    log_some(logger, 1)
    end = time.monotonic() + 60
    while not read(folder) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(read(folder)) == 1  # while the server runs
    logger.close()


def test_a_disk_that_fails_stops_no_request_and_is_said(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise OSError(28, "No space left on device")

    logger = RequestLogger(
        RequestLogOptions(str(tmp_path), share=1.0, seconds=0.05, most_waiting=10)
    )
    with caplog.at_level(logging.WARNING, "mptrec-serve"):
        monkeypatch.setattr(request_log, "_make_record", fail)
        log_some(logger, 1)
        end = time.monotonic() + 60
        while not caplog.records and time.monotonic() < end:
            time.sleep(0.01)
        monkeypatch.undo()
        time.sleep(0.2)
        log_some(logger, 3)
        logger.close()
    counts = Counter(record.getMessage() for record in caplog.records)
    assert counts["requests are not logged for now: [Errno 28] No space left on device"] == 1
    assert (logger.lost, len(read(tmp_path))) == (1, 3)


def test_a_disk_that_is_full_at_the_end_holds_nobody_up(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise OSError(28, "No space left on device")

    logger = RequestLogger(RequestLogOptions(str(tmp_path), share=1.0))
    log_some(logger, 3)
    monkeypatch.setattr(os, "replace", fail)  # of the file, once the end has come
    begin = time.monotonic()
    logger.close()
    assert time.monotonic() - begin < logger._options.closing_seconds
    assert (logger._thread.is_alive(), logger.lost, os.listdir(tmp_path)) == (False, 3, [])
    assert "3 requests were not logged in all" in caplog.messages


def test_a_disk_that_does_not_respond_holds_nobody_up_for_long(tmp_path, monkeypatch, caplog):
    responds = threading.Event()
    made = request_log._make_record
    monkeypatch.setattr(request_log, "_make_record", lambda *g: responds.wait(60) and made(*g))
    options = RequestLogOptions(str(tmp_path), share=1.0, most_waiting=2, closing_seconds=0.2)
    logger = RequestLogger(options)
    log_some(logger, 10)
    logger.close()
    assert f"{tmp_path} did not respond within 0.2 s; about 2 requests" in caplog.text
    responds.set()


def test_a_request_that_cannot_be_written_stops_no_later_one(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise ValueError("too large")

    logger = RequestLogger(RequestLogOptions(str(tmp_path), share=1.0, seconds=0.05))
    monkeypatch.setattr(request_log, "_make_record", fail)
    log_some(logger, 1)
    end = time.monotonic() + 60
    while not caplog.records and time.monotonic() < end:
        time.sleep(0.01)
    monkeypatch.undo()
    time.sleep(0.2)
    log_some(logger, 2)
    logger.close()
    assert (logger.lost, len(read(tmp_path))) == (1, 2)


def test_what_waits_for_too_long_is_lost(tmp_path, monkeypatch):
    writes = threading.Event()
    made = request_log._make_record
    monkeypatch.setattr(request_log, "_make_record", lambda *g: writes.wait(60) and made(*g))
    logger = RequestLogger(RequestLogOptions(str(tmp_path), share=1.0, most_waiting=2))
    log_some(logger, 50)
    lost = logger.lost
    assert lost in (47, 48)  # two wait, and the writer may have one
    writes.set()
    logger.close()
    assert len(read(tmp_path)) == 50 - lost


def test_what_waits_takes_no_more_memory_than_it_may(tmp_path, monkeypatch):
    writes = threading.Event()
    made = request_log._make_record
    monkeypatch.setattr(request_log, "_make_record", lambda *g: writes.wait(60) and made(*g))
    options = RequestLogOptions(str(tmp_path), share=1.0, most_waiting_bytes=1000)
    logger = RequestLogger(options)
    log_some(logger, 50)  # of 8 + 2 * 49 + 8 bytes: eight, and one that is being written
    assert logger.lost in (41, 42)
    writes.set()
    logger.close()
    assert len(read(tmp_path)) == 50 - logger.lost
    assert logger._waiting == 0


def test_a_directory_that_cannot_be_written_ends_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*/file/logs \(--log_requests\): "):
        RequestLogger(RequestLogOptions(str(tmp_path / "file" / "logs")))


def test_leftovers_of_a_killed_server_are_removed(tmp_path):
    leftover = tmp_path / "requests-h-1-x.tfrecord.incomplete-0123abcd"
    leftover.write_bytes(b"half")
    RequestLogger(RequestLogOptions(str(tmp_path))).close()
    assert os.listdir(tmp_path) == []
