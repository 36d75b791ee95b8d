"""The signature that takes an id of each row beside the columns."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.export.request_ids import add_request_ids
from mptrec_tf.serving.server.servable import Servable


def test_it_predicts_what_columns_does(exported, model, block, slice_rows):
    rows = slice_rows(block, 0, 5)
    inputs = {
        model.card["inputs"][name]: np.asarray(
            model.spec.raw_columns[name].read_request(model.spec, rows)
        )
        for name in model.column_types
    }
    servable = Servable(f"{exported}/1")
    try:
        with_id = servable.signatures["columns_with_id"]
        assert with_id.inputs.keys() - servable.signatures["columns"].inputs.keys() == {
            "request_id"
        }
        assert with_id.batchable
        expected = servable.run("columns", inputs)
        for ids in (np.array([b"a"] * 5, object), np.array([b"a"], object)):
            outputs = servable.run("columns_with_id", {**inputs, "request_id": ids})
            for task, values in expected.items():
                np.testing.assert_array_equal(outputs[task], values)
    finally:
        servable.close()


def test_tensorflow_loads_what_it_did(exported):
    signatures = tf.saved_model.load(f"{exported}/1").signatures
    assert set(signatures) == {"serving_default", "columns", "encode"}


@pytest.mark.parametrize("inputs", [["request_id", "age"]])
def test_a_model_with_a_column_of_that_name_needs_none(exported, tmp_path, inputs):
    path = shutil.copytree(exported / "1", tmp_path / "1")
    before = (path / "saved_model.pb").read_bytes()
    add_request_ids(str(path), inputs)
    assert (path / "saved_model.pb").read_bytes() == before
