"""Load while versions change, and malformed requests: `benchmarks/serving_faults.py` in short."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import tensorflow as tf

from mptrec_tf.serving.testing.fuzzing import describe_wrong_outputs, fuzz, read_encode_outputs
from mptrec_tf.serving.testing.load import (
    SLICES,
    TOLERANCE,
    Load,
    change_under_load,
    measure_difference,
)
from mptrec_tf.serving.testing.local_server import LocalServer
from mptrec_tf.serving.testing.malformed import make_malformed
from mptrec_tf.serving.testing.mutation import MAX_BYTES, make_good_rows


def test_versions_change_under_load_without_a_failed_or_wrong_response(prepared, columns, tmp_path):
    base = tmp_path / "m"
    base.mkdir()
    prepared.push(base, 1)
    with LocalServer(base, tmp_path) as server:
        load = Load(server, columns, prepared.expected)
        with load.running(32):
            table = change_under_load(server, load, prepared, responses=20)
        assert not load.problems, load.problems[:3]
        correct = load.make_table(prepared.names)
        assert [row["version"] for row in correct] == [1, 2, 3, 4]
        assert sum(row["gRPC"] + row["REST"] for row in correct) == load.count_correct()
        assert [row["change"] for row in table] == [
            "swapped in 1",
            "task added",
            "task removed",
            "broken",
            "broken removed",
            "deleted",
        ]
        # No request was rejected and retried.
        counted = ":tensorflow:serving:request_count"
        assert (
            server.read_metric(rf'{counted}{{model_name="m",status="OK"}}') >= load.count_correct()
        )
        assert server.read_metric(rf"{counted}{{") == server.read_metric(
            rf'{counted}{{.*status="OK"}}'
        )


def test_a_response_from_another_version_is_noticed(prepared):
    rows = SLICES[0]
    for version, predictions in prepared.expected.items():
        mine = {task: values[rows] for task, values in predictions.items()}
        for other, expected in prepared.expected.items():
            gap = measure_difference(mine, expected, rows)
            assert gap == 0 if other == version else gap > 100 * TOLERANCE
    assert measure_difference({"a": np.ones(2)}, {"a": np.ones(3)}) == np.inf


def test_malformed_requests_get_errors_of_the_right_kind_and_good_ones_predictions(
    exported, columns, expected, tmp_path
):
    flags = (f"--max_request_bytes={MAX_BYTES}", "--rest_api_timeout_in_ms=4000")
    with LocalServer(exported, tmp_path, *flags) as server:
        signatures = tf.saved_model.load(str(exported / "1")).signatures
        assert read_encode_outputs(server) == set(signatures["encode"].structured_outputs)
        result = fuzz(server, columns, expected, count=300, seed=1)
        assert not result.problems, result.problems[:5]
        assert sum(row["requests"] for row in result.make_table()) == 300
        assert server.process.poll() is None


def test_a_wrong_response_is_noticed():
    expected = {"a": np.array([0.1, 0.2, 0.3]), "b": np.array([0.4, 0.5, 0.6])}
    one = {**expected, "a": np.array([0.1, 0.9, 0.3])}
    two = {**one, "b": np.array([0.4, 0.5, 0.7])}
    swapped = {"a": expected["b"], "b": expected["a"]}
    for outputs, changed, wrong in (
        (expected, 0, None),
        (one, 0, "1 rows differ"),
        (one, 1, None),
        (two, 1, "2 rows differ"),
        (two, None, None),
        (swapped, 1, "3 rows differ"),
        ({"a": expected["a"]}, 0, "no predictions of b"),
        ({"a": expected["a"]}, None, None),
        ({"a": expected["a"][:2], "b": expected["b"][:2]}, 0, "a of shape (2,) instead of (3,)"),
        ({"a": expected["a"], "b": expected["b"][:2]}, None, "outputs of different length"),
        ({**expected, "a": np.array([0.1, np.nan, 0.3])}, None, "no finite numbers (a, b)"),
        ({**expected, "a": np.array([0.1, 1.5, 0.3])}, None, "no probabilities"),
        ({**expected, "c": expected["a"]}, None, "predictions of a, b, c"),
        ({}, None, "no finite numbers ()"),
    ):
        assert describe_wrong_outputs(outputs, expected, changed) == wrong


def test_representations_must_be_finite_but_not_probabilities():
    expected = {"a": np.array([0.1, 0.2])}
    outputs = {"deep": np.array([[3.0], [-4.0]]), "wide": np.array([5.0, 6.0])}
    assert describe_wrong_outputs(outputs, expected, 0, {"deep", "wide"}) is None
    assert describe_wrong_outputs(outputs, expected, 0, {"deep"}) == "no probabilities"
    outputs["wide"][1] = np.inf
    assert (
        describe_wrong_outputs(outputs, expected, 0, {"deep", "wide"})
        == "no finite numbers (deep, wide)"
    )


def test_a_seed_makes_the_same_requests_again(columns):
    def made(seed):
        rows = make_good_rows(columns)
        return [make_malformed(rows, seed, number) for number in range(500)]

    first = made(1)
    assert made(1) == first
    assert sum(one != other for one, other in zip(first, made(2), strict=True)) > 450
    assert len({(mutation.protocol, mutation.name) for mutation, _, _ in first}) > 40
