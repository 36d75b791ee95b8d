"""Tests of every kind of model; the tests of each kind check its logits."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest

from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.trainer import Trainer

KINDS = ("mptrec", "single", "shared_bottom")
PLAIN = KINDS[1:]  # whose loss is the sum of their tasks'


def test_no_kind_is_left_out():
    assert MODELS.names() == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_rescaled_tasks_say_scale_times_logit_plus_shift(backbone, batch, kind):
    model = backbone(kind=kind)
    before, encoded = model(batch()).numpy(), model.encode(batch())
    scale, shift = np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.0, -1.0])
    model.rescale(scale, shift)
    np.testing.assert_allclose(model(batch()), scale * before + shift, rtol=1e-4, atol=1e-6)
    for one, other in zip(model.encode(batch()), encoded, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_l2_terms_by_hand(backbone, batch, kind):
    model = backbone(kind=kind, l2_embedding=0.5, l2_dense=0.25)
    model(batch())
    w = {name: (weight.numpy() ** 2).sum() for name, weight in model.named_weights().items()}
    expected = [
        0.25 * w["embedding/table"],
        0.125 * (w["experts/kernel_0"] + w["experts/kernel_1"]),
        0.125 * (w["towers/kernel_0"] + w["towers/kernel_1"]),
    ]
    np.testing.assert_allclose(sorted(model.losses), sorted(expected), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes"), [(kind, {}) for kind in KINDS] + [("mptrec", {"fusion": "specific_only"})]
)
def test_a_model_survives_its_config(backbone, batch, kind, changes):
    model = backbone(kind=kind, tower_dropout=0.1, **changes)
    copy = type(model).from_config(json.loads(json.dumps(model.get_config())))
    assert copy.shape == model.shape
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(batch()), model(batch()))


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_sum_over_tasks(backbone, batch, plain_bce, tasks_of, kind, weighted):
    model, inputs = backbone(kind=kind), batch(weight=weighted)
    weight = inputs.get("weight", np.ones(6))
    logits = model(inputs).numpy().astype(np.float64)
    expected = [
        (weight * plain_bce(logits[:, k], inputs["labels"][:, k])).sum() / weight.sum()
        for k in range(3)
    ]
    trainer = Trainer(model, tasks_of(model))
    np.testing.assert_allclose(trainer.compute_loss(inputs), sum(expected), rtol=1e-5)
    actual = {m.name: m.result() for m in trainer.metrics}
    assert set(actual) == {f"loss/{task}" for task in model.shape.tasks}
    for task, value in zip(model.shape.tasks, expected, strict=True):
        np.testing.assert_allclose(actual[f"loss/{task}"], value, rtol=1e-5)


@pytest.mark.parametrize("kind", PLAIN)
def test_report_holds_the_predictions_alone(backbone, batch, tasks_of, kind):
    model = backbone(kind=kind)
    trainer = Trainer(model, tasks_of(model))
    report = trainer.report(batch())
    assert set(report) == {"prediction"}
    logits = model(batch()).numpy().astype(np.float64)
    np.testing.assert_allclose(report["prediction"], 1 / (1 + np.exp(-logits)), rtol=1e-4)
