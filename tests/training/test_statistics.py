"""What a backbone knows of its training rows."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.packed import WEIGHT
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import load_rows, make_memory_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext
from mptrec_tf.training.statistics import compute_statistics


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


@pytest.fixture(scope="module")
def backbone(synthetic_backbone):
    return load_backbone(str(synthetic_backbone)).model


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_statistics_are_those_of_the_rows(backbone, data, memory_limit):
    mean, deviation = compute_statistics(
        backbone, load_rows(data, "train", ("share",), memory_limit=memory_limit)
    )
    rows = load_rows(data, "train", ("share",))
    inputs = backbone.head_inputs(backbone.encode(rows.columns))
    for of, axis in (("x", 0), ("shared", 1), ("specific", 1), ("logits", 1)):
        values = getattr(inputs if of == "logits" else inputs.encoded, of).numpy()
        values = values.astype(np.float64)
        np.testing.assert_allclose(getattr(mean, of), values.mean(axis), atol=1e-6, err_msg=of)
        np.testing.assert_allclose(getattr(deviation, of), values.std(axis), atol=1e-6, err_msg=of)


def test_rows_count_as_much_as_they_weigh(backbone, data):
    columns = {k: v for k, v in load_rows(data, "train", ("share",)).columns.items() if k != "row"}
    columns = {k: tf.repeat(v, 4, axis=0) for k, v in columns.items()}  # two batches
    none, all_of_it = np.zeros(4200, np.float32), np.ones(1800, np.float32)
    weighted = make_memory_rows({**columns, WEIGHT: tf.constant(np.r_[none, all_of_it])})
    alone = make_memory_rows({k: v[4200:] for k, v in columns.items()})
    both = zip(
        compute_statistics(backbone, weighted), compute_statistics(backbone, alone), strict=True
    )
    for actual, expected in both:
        for of in ("x", "shared", "specific", "logits"):
            np.testing.assert_allclose(getattr(actual, of), getattr(expected, of), atol=1e-6)


def test_rows_that_all_weigh_nothing_are_rejected(backbone, data):
    columns = {k: v for k, v in load_rows(data, "train", ("share",)).columns.items() if k != "row"}
    nothing = make_memory_rows({**columns, WEIGHT: tf.zeros(1500)})
    with pytest.raises(InputError, match="all training rows weigh 0"):
        compute_statistics(backbone, nothing)


def test_a_pretrained_backbone_knows_its_training_rows(data, tmp_path):
    config = PretrainingConfig(
        ("click", "like"),
        shape={"expert_units": (12, 8), "tower_units": (4,)},
        losses={"assignment": "online"},
        training=TrainingConfig(epochs=1, batch_size=128, seed=4),
    )
    backbone, _ = pretrain(data, config, RunContext(str(tmp_path), show_progress=False))
    rows = load_rows(data, "train", ("click", "like")).columns
    standard = backbone.head_inputs(backbone.encode(rows)).standard
    for of, atol in (("shared", 1e-4), ("specific", 1e-4), ("x", 0.1), ("logits", 0.1)):  # cut: x
        values = getattr(standard, of).numpy()
        np.testing.assert_allclose(values.mean(0), 0, atol=atol, err_msg=of)
    known = standard.shared.numpy().std(0)
    assert np.all((np.abs(known - 1) < 1e-3) | (known == 0))
    assert known.any()
