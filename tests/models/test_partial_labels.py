"""Rows without a label of a task: losses, gradients and environments leave them out."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.mptrec import MPTRecTrainer
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.models.task_outputs import task_losses, task_weights
from mptrec_tf.models.trainer import Plan, Trainer, mean_over_batch

NAN = np.nan
# By row: task 0 has no label in row 1, task 1 has none in rows 0 and 1, task 2 none in 1, 2, 3.
LABELS = np.array(
    [[1, NAN, 0], [NAN, NAN, NAN], [0, 1, NAN], [1, 0, NAN], [0, 0, 1], [1, 1, 1]], np.float32
)


def tasks_of(model, missing="skip"):
    return [BinaryTask(name, name, "1", missing=missing) for name in model.shape.tasks]


@pytest.fixture
def partial(batch):
    """Makes a batch of six rows with these labels."""

    def make(weight=False):
        inputs = batch(len(LABELS), weight=weight)
        return inputs | {"labels": tf.constant(LABELS)}

    return make


def mean_of_labelled(losses, labels, weight):
    rows = np.flatnonzero(~np.isnan(labels))
    return sum(weight[r] * losses[r] for r in rows) / sum(weight[r] for r in rows)


def test_a_mean_over_rows_with_a_label_by_hand():
    """Losses log 2 of row 0, and log 4 of row 1, which has no label of task 1."""
    logits = tf.constant([[0.0, np.log(3.0)], [0.0, np.log(3.0)]])
    labels = tf.constant([[1.0, 1.0], [0.0, NAN]])
    tasks = [BinaryTask(name, name, "1", missing="skip") for name in "ab"]
    losses = task_losses(tasks, logits, labels)
    weights = task_weights(tasks, labels, None)
    np.testing.assert_array_equal(weights, [[1, 1], [1, 0]])
    expected = [(np.log(2) + np.log(4)) / 2, np.log(2)]
    np.testing.assert_allclose(mean_over_batch(losses, weights), expected, rtol=1e-6)
    weights = task_weights(tasks, labels, tf.constant([1.0, 3.0]))
    expected = [(np.log(2) + 3 * np.log(4)) / 4, np.log(2)]
    np.testing.assert_allclose(mean_over_batch(losses, weights), expected, rtol=1e-6)
    nowhere = tf.constant([[1.0, NAN], [0.0, NAN]])
    losses, weights = task_losses(tasks, logits, nowhere), task_weights(tasks, nowhere, None)
    assert mean_over_batch(losses, weights)[1] == 0


def test_tasks_that_all_rows_have_labels_of_are_weighted_as_before(backbone):
    tasks, weight = tasks_of(backbone(), "reject"), tf.constant([1.0, 2.0])
    assert task_weights(tasks, tf.ones([2, 3]), weight) is weight
    assert task_weights(tasks, tf.ones([2, 3]), None) is None


@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("kind", ["single", "shared_bottom"])
def test_the_loss_equals_a_plain_loop(backbone, partial, plain_bce, kind, weight):
    model, inputs = backbone(kind=kind), partial(weight)
    logits = model(inputs).numpy()
    weights = np.asarray(inputs.get("weight", np.ones(len(LABELS))))
    expected = sum(
        mean_of_labelled(plain_bce(logits[:, k], LABELS[:, k]), LABELS[:, k], weights)
        for k in range(3)
    )
    loss = Trainer(model, tasks_of(model)).compute_loss(inputs)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mptrec", "single", "shared_bottom"])
def test_a_row_without_any_label_teaches_nothing(backbone, partial, kind):
    """Whatever its features are, loss and gradients are the same."""
    model, inputs = backbone(kind=kind), partial()
    losses = MPTRecLosses(assignment="online", adversarial_weight=2.0)
    trainer = Trainer(model, tasks_of(model))
    if kind == "mptrec":
        trainer = MPTRecTrainer(model, tasks_of(model), losses, Plan(10, len(LABELS)))
        trainer.discriminator.bias.assign([0.5, 0.0, -0.5])
    ids = np.array(inputs["categorical"])
    ids[1] = ids[4]
    results = []
    for features in (inputs["categorical"], tf.constant(ids)):
        with tf.GradientTape() as tape:
            loss = trainer.compute_loss({**inputs, "categorical": features})
        gradients = tape.gradient(loss, model.trainable_weights, unconnected_gradients="zero")
        results.append([loss, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*results, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_row_is_in_no_environment_of_a_task_that_it_has_no_label_of(backbone, partial):
    """Row 0 has labels of tasks 0 and 2, rows 2 and 3 of 0 and 1, rows 4 and 5 of all."""
    model = backbone()
    losses = MPTRecLosses(adversarial_weight=1.0)
    trainer = MPTRecTrainer(model, tasks_of(model), losses, Plan(10, len(LABELS)))
    by_row = trainer.sample_losses(partial()).numpy()
    np.testing.assert_array_equal(np.isinf(by_row), np.isnan(LABELS.T))
    trainer.update_environments(tf.constant(by_row))
    environments = trainer.environments.numpy()
    for row in (0, 2, 3, 4, 5):
        assert environments[row] == np.argmin(by_row[:, row])
        assert np.isfinite(by_row[environments[row], row])


def test_a_new_task(backbone, batch):
    """The loss of a head is the mean over the rows with a label."""
    model = PromptedMPTRec(backbone())
    task = BinaryTask("new", "new", "1", missing="skip")
    model.add_task(task)
    inputs, labels = batch(6), LABELS[:, 1:2]
    rows = np.flatnonzero(~np.isnan(labels[:, 0]))
    only = {name: tf.gather(values, rows) for name, values in inputs.items()}
    loss = model.compute_loss({**inputs, "labels": tf.constant(labels)})
    expected = model.compute_loss({**only, "labels": tf.constant(labels[rows])})
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_first_environments_do_not_count_where_a_row_has_no_label(backbone, partial):
    """Periodic assignment begins at random: only rows with a label of their environment count."""
    model, plan = backbone(), Plan(10, len(LABELS))
    trainer, without = (
        MPTRecTrainer(model, tasks_of(model), MPTRecLosses(adversarial_weight=weight), plan)
        for weight in (1.0, 0.0)
    )
    inputs = partial() | {"row": tf.range(len(LABELS))}
    trainer.discriminator.kernel.assign(tf.zeros_like(trainer.discriminator.kernel))
    trainer.discriminator.bias.assign(np.log([0.5, 0.25, 0.25]))
    trainer.environments.assign([0, 0, 2, 2, 1, 0])  # rows 0, 4 and 5 have such a label
    expected = (2 * np.log(2) + np.log(4)) / 3
    found = trainer.compute_loss(inputs) - without.compute_loss(inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
