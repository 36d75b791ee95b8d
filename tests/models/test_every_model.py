"""Tests of every kind of model; the tests of each kind check its logits."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.trainer import Trainer

KINDS = (
    *("mptrec", "single", "shared_bottom"),
    *("mmoe", "ple", "stem", "aitm", "sparse_sharing", "csrec"),
)
PLAIN = tuple(kind for kind in KINDS if kind != "mptrec")  # trained by `Trainer`
PLE = {"levels": 2, "specific_experts": 2, "shared_experts": 3}


def test_no_kind_is_left_out():
    assert MODELS.names() == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_may_have_several_logits(backbone, batch, kind):
    model = backbone(kind=kind, task_logits=(1, 3, 1))
    before = model(batch()).numpy()
    assert before.shape == (6, 5)
    scale, shift = np.array([1.0, 2.0, 0.5, 1.0, 1.0]), np.array([0.0, 0.5, -1.0, 0.0, 2.0])
    model.rescale(scale, shift)
    np.testing.assert_allclose(model(batch()), before * scale + shift, rtol=1e-4, atol=1e-5)


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
    levels = {"levels": 2} if kind == "ple" else {}
    model = backbone(kind=kind, l2_embedding=0.5, l2_dense=0.25, **levels)
    model(batch())
    w = {name: (weight.numpy() ** 2).sum() for name, weight in model.named_weights().items()}
    dense = [v for name, v in w.items() if "/kernel_" in name]
    assert len(dense) == {"ple": 6, "aitm": 6}.get(kind, 4)  # two levels; two passes
    expected = 0.25 * w["embedding/table"] + 0.125 * sum(dense)
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(kind, {}) for kind in KINDS]
    + [("mptrec", {"fusion": "specific_only"}), ("mmoe", {"expert_count": 2}), ("ple", PLE)],
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


@pytest.mark.parametrize("kind", PLAIN[:-2])
def test_report_holds_the_predictions_alone(backbone, batch, tasks_of, kind):
    model = backbone(kind=kind)
    trainer = Trainer(model, tasks_of(model))
    report = trainer.report(batch())
    assert set(report) == {"prediction"}
    logits = model(batch()).numpy().astype(np.float64)
    np.testing.assert_allclose(report["prediction"], 1 / (1 + np.exp(-logits)), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_depend_on_their_batch(backbone, batch, kind):
    model, inputs = backbone(kind=kind), batch()
    alone = {name: value[2:3] for name, value in inputs.items()}
    np.testing.assert_allclose(model(alone)[0], model(inputs)[2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(kind, {}) for kind in KINDS] + [("mmoe", {"expert_count": 2}), ("ple", PLE)],
)
@pytest.mark.parametrize("tasks", ["a", "ab"])
def test_joint_parameters_are_those_of_a_model_of_more_tasks(shape, kind, changes, tasks):
    def make(names):
        return MODELS.get(kind).make(shape(names, kind=kind, **changes))

    def count(model):
        discriminator = (model.shape.width + 1) * len(model.shape.tasks)
        return sum(int(np.prod(w.shape)) for w in model.parameters) + (
            discriminator if kind == "mptrec" else 0
        )

    model = make(tasks)
    assert model.joint_parameters(0) == count(model)
    assert model.joint_parameters(1) == count(make(tasks + "x"))
    assert model.joint_parameters(2) == count(make(tasks + "xy"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_that_is_trained_has_a_gradient(backbone, batch, tasks_of, kind):
    model, inputs = backbone(kind=kind), batch()
    trainer = Trainer(model, tasks_of(model))
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(inputs, training=True)
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True
    ):
        assert gradient is not None, weight.name
        assert np.abs(tf.convert_to_tensor(gradient)).sum() > 0, weight.name
