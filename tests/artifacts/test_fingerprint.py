import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mptrec_tf.artifacts.fingerprint import backbone_fingerprint, weights_fingerprint
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.errors import InputError

WEIGHTS = {"a/kernel": np.ones((2, 3), np.float32), "b/bias": np.zeros(3, np.float32)}


def with_one_bit_changed(array):
    changed = bytearray(array.tobytes())
    changed[-1] ^= 1
    return np.frombuffer(bytes(changed), array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    "other",
    [
        {**WEIGHTS, "b/bias": with_one_bit_changed(WEIGHTS["b/bias"])},
        {"a/kernel": WEIGHTS["a/kernel"], "c/bias": WEIGHTS["b/bias"]},
        {**WEIGHTS, "a/kernel": WEIGHTS["a/kernel"].reshape(3, 2)},
        {**WEIGHTS, "b/bias": np.zeros(3, np.int32)},
        {**WEIGHTS, "c": np.zeros(0, np.float32)},
        {"a/kernel": WEIGHTS["a/kernel"]},
        {**WEIGHTS, "b/bias": -WEIGHTS["b/bias"]},  # -0 equals 0, and is another number
    ],
)
def test_weights_that_differ_have_other_fingerprints(other):
    assert weights_fingerprint(other) != weights_fingerprint(WEIGHTS)


def test_neither_order_nor_layout_in_memory_matters():
    other = {name: np.asfortranarray(WEIGHTS[name]) for name in reversed(WEIGHTS)}
    assert weights_fingerprint(other) == weights_fingerprint(WEIGHTS)
    assert len(weights_fingerprint(WEIGHTS)) == 64


@pytest.fixture
def transform(prepared_synthetic, tmp_path):
    return shutil.copytree(prepared_synthetic / "transform", tmp_path / "transform")


def graph_file(transform):
    return transform / "transform_fn" / "saved_model.pb"


def numeric_constants(graph):
    for meta in graph.meta_graphs:
        functions = (node for f in meta.graph_def.library.function for node in f.node_def)
        for node in (*meta.graph_def.node, *functions):
            if (
                node.op == "Const"
                and node.attr["value"].tensor.dtype == tf.float64.as_datatype_enum
            ):
                yield node.attr["value"].tensor


def test_a_copy_of_the_graph_has_its_fingerprint(prepared_synthetic, transform):
    original = fingerprint_transform(str(prepared_synthetic / "transform"))
    assert fingerprint_transform(str(transform)) == original


def test_preparing_the_same_rows_again_gives_the_same_fingerprint(prepared_synthetic, tmp_path):
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sets.synthetic.rows import Synthetic

    again = prepare(Synthetic({"train": 1500, "validation": 3, "test": 3}), str(tmp_path / "again"))
    assert fingerprint_transform(again.transform_dir) == fingerprint_transform(
        str(prepared_synthetic / "transform")
    )


def test_a_line_of_the_vocabulary_changes_the_fingerprint(transform):
    before = fingerprint_transform(str(transform))
    [vocabulary] = (transform / "transform_fn" / "assets").iterdir()
    lines = vocabulary.read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    vocabulary.write_bytes(b"".join(lines))
    assert fingerprint_transform(str(transform)) != before


def test_every_numeric_statistic_is_in_the_fingerprint(transform):
    before = fingerprint_transform(str(transform))
    whole = graph_file(transform).read_bytes()
    count = len(list(numeric_constants(saved_model_pb2.SavedModel.FromString(whole))))
    assert count >= 4  # smallest, largest, mean and variance
    for number in range(count):
        graph = saved_model_pb2.SavedModel.FromString(whole)
        tensor = list(numeric_constants(graph))[number]
        values = tf.make_ndarray(tensor).copy()
        values.flat[0] = np.nextafter(values.flat[0], np.inf)
        tensor.CopyFrom(tf.make_tensor_proto(values))
        graph_file(transform).write_bytes(graph.SerializeToString())
        assert fingerprint_transform(str(transform)) != before


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_graph_that_cannot_be_read_is_named(transform, damage):
    path = graph_file(transform)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"no graph")
    with pytest.raises(InputError, match=r"cannot read the preprocessing graph in .*transform_fn"):
        fingerprint_transform(str(transform))


def test_a_backbone_is_its_weights_and_its_graph(transform):
    fingerprint = backbone_fingerprint(WEIGHTS, str(transform))
    assert backbone_fingerprint(WEIGHTS, str(transform)) == fingerprint
    assert backbone_fingerprint({}, str(transform)) != fingerprint
    [vocabulary] = (transform / "transform_fn" / "assets").iterdir()
    vocabulary.write_bytes(vocabulary.read_bytes() + b"hour\t99\n")
    assert backbone_fingerprint(WEIGHTS, str(transform)) != fingerprint
