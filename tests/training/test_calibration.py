"""Predictions after training are fitted to the validation rows."""

import copy
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from scipy.special import expit, logit

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.packed import CATEGORICAL, LABELS
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.transform.graph import get_id_ranges
from mptrec_tf.evaluation.metrics import auc, calibration_ratio, log_loss
from mptrec_tf.evaluation.near_identity import LEAST_SCALE
from mptrec_tf.evaluation.platt import fit_scale_and_shift
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training.batches import evaluate_rows, load_rows, make_memory_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.new_task import predict_heads
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.prompt_tuning import tune
from mptrec_tf.training.run_context import RunContext

OLD = ("click", "like")


def shares(*groups):
    """Rows of groups that are (prediction, share of positives); 10,000 rows each."""
    probabilities = np.repeat([p for p, _ in groups], 10_000)
    labels = np.concatenate([np.arange(10_000) < 10_000 * share for _, share in groups])
    return probabilities, labels.astype(np.float32)


def test_scale_and_shift_by_hand():
    # 1 : 3 and 3 : 1 were promised; 2 : 3 and 3 : 2 came: log(3 / 2) / log(3), about 0 nothing.
    scale, shift = fit_scale_and_shift(*shares((0.25, 0.4), (0.75, 0.6)))
    assert scale == pytest.approx(np.log(3 / 2) / np.log(3), abs=1e-3)
    assert shift == pytest.approx(0, abs=1e-3)
    # Odds of 1 : 9 and 1 : 1 were promised; twice as much came, of both.
    scale, shift = fit_scale_and_shift(*shares((1 / 10, 2 / 11), (1 / 2, 2 / 3)))
    assert (scale, shift) == (pytest.approx(1, abs=1e-3), pytest.approx(np.log(2), abs=1e-3))


def test_a_factor_stays_as_it_is():
    # Half of the clicks, 2 in 10, were said to buy: 1 in 10. Of the rows 1 in 20 bought, which is
    # a quarter of the clicks, odds of 1 : 3. In the other group a tenth of 5 in 10 clicks: 1 : 9.
    given = np.repeat([0.2, 0.5], 10_000)
    probabilities, labels = shares((0.5, 0.05), (0.2, 0.05))
    scale, shift = fit_scale_and_shift(probabilities, labels, given=given)
    # Odds of 1 : 1 and 1 : 4 were predicted.
    assert expit(shift) == pytest.approx(1 / 4, abs=1e-3)
    assert expit(scale * np.log(1 / 4) + shift) == pytest.approx(1 / 10, abs=1e-3)
    same = fit_scale_and_shift(probabilities, labels, given=np.ones_like(given))
    np.testing.assert_allclose(same, fit_scale_and_shift(probabilities, labels), atol=1e-4)


def test_calibrated_predictions_do_not_change():
    actual = fit_scale_and_shift(*shares((0.1, 0.1), (0.3, 0.3), (0.9, 0.9)))
    assert actual == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))


def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_nothing_is_none():
    random = np.random.default_rng(1)
    probabilities, labels = random.random(600), (random.random(600) < 0.3).astype(np.float32)
    weight = np.repeat([0.0, 1.0, 2.0], 200)
    repeated = np.repeat(np.arange(600), weight.astype(int))
    # The few rows' prior counts 1 in rows of the mean weight, 600 / 400 here.
    actual = fit_scale_and_shift(probabilities, labels, weight)
    expected = fit_scale_and_shift(probabilities[repeated], labels[repeated])
    np.testing.assert_allclose(actual, expected, atol=0.01)
    same = fit_scale_and_shift(probabilities, labels, 7 * weight)
    np.testing.assert_allclose(same, actual, atol=1e-6)


@pytest.mark.parametrize("probabilities", [(0.1, 0.9), (0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_hardly_any_rows_change_hardly_anything(probabilities):
    scale, shift = fit_scale_and_shift(np.array(probabilities), np.array([0.0, 1.0]))
    assert np.isfinite([scale, shift]).all()
    if probabilities[0] < probabilities[1]:
        assert 1 <= scale < 1.5


def test_the_order_of_rows_stays_even_where_it_is_wrong():
    scale, shift = fit_scale_and_shift(*shares((0.1, 0.6), (0.9, 0.2)))
    assert scale == LEAST_SCALE
    assert expit(shift) == pytest.approx(0.4, abs=0.01)  # the mean label


def test_it_is_what_has_the_least_log_loss():
    random = np.random.default_rng(2)
    truth = random.normal(-1, 1, 5000)
    labels = random.random(5000) < expit(truth)
    sure = expit(2 * truth + random.normal(0, 1, 5000))
    scale, shift = fit_scale_and_shift(sure, labels)

    def loss(a, b):
        return log_loss(labels, expit(a * logit(sure) + b))

    best = loss(scale, shift)
    assert best < loss(1, 0) - 0.01
    for a, b in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02)):
        assert best < loss(scale + a, shift + b)


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


def pretrained(data, directory, **changes):
    shape = {"expert_units": (12, 8), "tower_units": (4,)}
    training = TrainingConfig(epochs=3, batch_size=64, learning_rate=5e-3, seed=4, **changes)
    config = PretrainingConfig(OLD, shape=shape, training=training)
    return pretrain(data, config, RunContext(str(directory), show_progress=False))


def predict_validation(data, backbone, rows):
    model = Trainer(backbone, data.spec.select_tasks(OLD))
    report, labels, _ = evaluate_rows(model, rows)
    return report["prediction"].astype(np.float64), labels


def weights_of(layer):
    return {name: weight.numpy() for name, weight in layer.named_weights().items()}


def test_stage_1_fits_its_validation_rows_and_orders_rows_as_before(data, tmp_path):
    plain, without = pretrained(data, tmp_path / "plain", calibrate=False)
    backbone, result = pretrained(data, tmp_path / "run")
    rows = load_rows(data, "validation", OLD)
    (before, labels), (after, _) = (
        predict_validation(data, plain, rows),
        predict_validation(data, backbone, rows),
    )
    assert without.calibration == {}
    assert set(result.calibration) == set(OLD)
    assert result.history == without.history
    for i, task in enumerate(OLD):
        scale, shift = result.calibration[task]
        expected = expit(scale * logit(before[:, i]) + shift)
        np.testing.assert_allclose(after[:, i], expected, rtol=1e-4)
        assert auc(labels[:, i], after[:, i]) == pytest.approx(
            auc(labels[:, i], before[:, i]), abs=1e-4
        )
        assert log_loss(labels[:, i], after[:, i]) < log_loss(labels[:, i], before[:, i])
        assert calibration_ratio(labels[:, i], after[:, i]) == pytest.approx(1, abs=0.03)
    # Nothing but the last layer of the towers changed, and what is known of the logits.
    before, after = weights_of(plain), weights_of(backbone)
    changed = {name for name, value in before.items() if (value != after[name]).any()}
    assert changed == {
        "towers/kernel_1",
        "towers/bias_1",
        "standard_logits/mean",
        "standard_logits/scale",
    }


def test_a_run_that_is_started_again_is_calibrated_once(data, tmp_path):
    first, result = pretrained(data, tmp_path)
    again, same = pretrained(data, tmp_path)
    assert same.calibration == result.calibration
    for name, value in weights_of(first).items():
        np.testing.assert_array_equal(value, weights_of(again)[name], err_msg=name)
    json.dumps(result.calibration)  # goes into the backbone's description


@pytest.mark.parametrize("head", [PromptConfig(), ResidualConfig()], ids=["prompt", "residual"])
def test_a_new_task_fits_its_validation_rows(data, synthetic_backbone, tmp_path, head):
    if isinstance(head, ResidualConfig):  # with weights of the devices' ids
        ranges = get_id_ranges(data.spec, tft.TFTransformOutput(data.transform_dir))
        head = dataclasses.replace(head, id_ranges=(ranges[5],))
    actual = {}
    for calibrate in (False, True):
        stored = load_backbone(str(synthetic_backbone))
        training = TrainingConfig(
            epochs=2, batch_size=64, learning_rate=5e-3, seed=4, calibrate=calibrate
        )
        actual[calibrate] = tune(
            stored.model,
            data,
            "share",
            {"kind": head},
            training,
            RunContext(
                str(tmp_path / str(calibrate)),
                show_progress=False,
                fingerprint=stored.fingerprint,
            ),
        )["kind"]
    (plain, _), (head, result) = actual[False], actual[True]
    rows = load_rows(data, "validation", ["share"])
    [task] = data.spec.select_tasks(["share"])
    predictions, labels, _ = predict_heads(stored.model, task, {"plain": plain, "head": head}, rows)
    scale, shift = result.calibration["share"]
    np.testing.assert_allclose(
        predictions["head"], expit(scale * logit(predictions["plain"]) + shift), rtol=1e-3
    )
    assert log_loss(labels, predictions["head"]) < log_loss(labels, predictions["plain"])


def test_new_people_are_not_predicted_worse_than_by_the_mean(data, tmp_path):
    random = np.random.default_rng(3)
    people, each, known, jobs, items = 1000, 10, 150, 150, 10
    person = np.repeat(np.arange(people), each)
    item = random.integers(items, size=len(person))
    likes = random.normal(0, 1.5, items)[item] + random.normal(-0.5, 3, people)[person]
    likes += random.normal(size=len(person))
    labels = np.stack([likes > 0, likes > 1], axis=1).astype(np.float32)
    # Only the first people have ids of their own. All have a job, which carries no information.
    job = random.integers(jobs, size=people)[person]
    ids = np.stack([np.minimum(person, known), known + 1 + job, known + 1 + jobs + item], axis=1)

    def rows(first, end):
        chosen = slice(first * each, end * each)
        columns = {CATEGORICAL: tf.constant(ids[chosen]), LABELS: tf.constant(labels[chosen])}
        return make_memory_rows(columns)

    # Prepared data of these features, for rows that the test makes.
    other = copy.copy(data)
    other.inputs = (InputShape("categorical", 3, known + 1 + jobs + items),)
    features = data.spec.categorical[:3]
    other.spec = dataclasses.replace(data.spec, features=features)
    config = PretrainingConfig(
        OLD,
        shape={"expert_units": (64, 32), "tower_units": (16,)},
        losses={"assignment": "online"},
        training=TrainingConfig(epochs=6, batch_size=60, learning_rate=5e-3, seed=1),
    )
    context = RunContext(str(tmp_path), show_progress=False)
    rows_of_splits = (rows(0, known), rows(known, 550))
    backbone, result = pretrain(other, config, context, rows_of_splits)
    after, labels = predict_validation(data, backbone, rows(550, people))
    for i, task in enumerate(OLD):
        scale, shift = result.calibration[task]
        before = expit((logit(after[:, i]) - shift) / scale)
        mean = log_loss(labels[:, i], np.full(len(labels), labels[:, i].mean()))
        assert auc(labels[:, i], before) > 0.6
        assert log_loss(labels[:, i], before) > 1.05 * mean
        assert log_loss(labels[:, i], after[:, i]) < 0.98 * mean
