"""The baseline: what served rows are compared with."""

import json

import numpy as np
import pytest

from mptrec_tf.data.packed_columns import list_columns
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.transform.graph import open_transform
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.training.baseline import describe_rows, describe_task
from mptrec_tf.training.batches import load_rows


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


def test_each_packed_column_is_described(data):
    train, validation = (load_rows(data, split, ["click"]) for split in ("train", "validation"))
    baseline = describe_rows(data, train, validation)
    names = [of.name for of in list_columns(data.spec, open_transform(data.transform_dir))]
    assert list(baseline["columns"]) == list(baseline["fresh"]) == names
    assert len(set(names)) == len(names)
    assert baseline["rows"] == 1500
    for name, of in baseline["columns"].items():
        shares = of["shares"]
        total = sum(shares.values() if isinstance(shares, dict) else shares)
        assert of["count"] == 1500
        assert 0.8 < total <= 1 + 1e-9  # the shares of the rarest ids are not listed
        assert 0 <= baseline["fresh"][name]["drift"] < 0.2
    device = baseline["columns"]["categorical/device"]
    ids = train.columns["categorical"].numpy()
    column = next(i for i, n in enumerate(names) if n == "categorical/device")
    _, counts = np.unique(ids[:, column], return_counts=True)
    assert sorted(device["shares"].values()) == pytest.approx(sorted(counts / 1500))
    # Training rows know their own values; newer rows hold others.
    assert baseline["columns"]["categorical/item_id"]["unknown"] == 0
    assert baseline["fresh"]["categorical/item_id"]["unknown"] > 0
    assert len(to_json(baseline)) < 60_000


def test_a_task_is_described_on_the_rows_that_have_a_label():
    task = BinaryTask("click", "clicked", ("1",), missing="skip")
    labels = np.array([1.0, 1.0, 0.0, 0.0, np.nan])
    of = describe_task(task, labels, np.array([0.8, 0.4, 0.6, 0.2, 0.9], np.float32))
    assert (of["rows"], of["score"]) == (4, 0.75)
    assert of["error"] == pytest.approx(np.sqrt(0.125))
    assert of["metrics"]["calibration"] == pytest.approx(1)
    assert of["predictions"]["click"]["count"] == 5
    alone = describe_task(task, labels[:1], np.array([0.8], np.float32))
    assert json.loads(to_json(alone))["score"] is None
