"""Weights of single tasks, and of positives, in losses."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.mptrec import MPTRecTrainer
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.models.task_outputs import task_losses, task_weights
from mptrec_tf.models.trainer import Plan, Trainer

WEIGHTS = np.random.default_rng(4).random((6, 3)).astype(np.float32)


def weigh_positives(tasks, *factors):
    pairs = zip(tasks, factors, strict=True)
    return [dataclasses.replace(task, positive_weight=factor) for task, factor in pairs]


def test_positives_by_hand():
    """Losses log 2 of a positive and a negative, of which one counts three times."""
    tasks = [BinaryTask(name, name, "1") for name in "ab"]
    logits, labels = tf.zeros([2, 2]), tf.constant([[1.0, 1.0], [0.0, 0.0]])
    actual = task_losses(weigh_positives(tasks, 3.0, 1.0), logits, labels)
    np.testing.assert_allclose(actual, np.log(2) * np.array([[3, 1], [1, 1]]), rtol=1e-6)


def test_tasks_without_a_weight_of_positives_have_the_same_bits(batch):
    random = np.random.default_rng(1)
    logits = tf.constant(random.normal(size=[3, 6]).astype(np.float32))
    labels = tf.constant(batch()["labels"])
    tasks = [BinaryTask(name, name, "1") for name in "abc"]
    plain = task_losses(tasks, logits, labels)
    actual = task_losses(weigh_positives(tasks, 1.0, 7.0, 1.0), logits, labels)
    np.testing.assert_array_equal(actual.numpy()[[0, 2]], plain.numpy()[[0, 2]])


def test_weights_by_task_replace_those_of_rows():
    tasks = [BinaryTask("a", "a", "1"), BinaryTask("b", "b", "1", missing="skip")]
    labels = tf.constant([[1.0, np.nan], [0.0, 1.0]])
    by_task = tf.constant([[2.0, 3.0], [4.0, 5.0]])
    actual = task_weights(tasks, labels, tf.ones(2), by_task)
    np.testing.assert_array_equal(actual, [[2, 4], [0, 5]])
    actual = task_weights(tasks[:1], labels[:, :1], None, by_task[:, :1])
    np.testing.assert_array_equal(actual, [[2, 4]])


@pytest.mark.parametrize("kind", ["mptrec", "single", "shared_bottom"])
def test_the_loss_equals_a_plain_loop(backbone, batch, tasks_of, plain_bce, kind):
    model, inputs = backbone(kind=kind), batch(weight=True)
    tasks = weigh_positives(tasks_of(model), 1.0, 5.0, 0.5)
    logits, labels = model(inputs).numpy(), inputs["labels"]
    losses = plain_bce(logits, labels) * np.where(labels == 1, [1, 5, 0.5], 1)
    expected = np.average(losses, axis=0, weights=WEIGHTS).sum()
    trainer = Trainer(model, tasks)
    if kind == "mptrec":
        trainer = MPTRecTrainer(model, tasks, MPTRecLosses(gen_weight=0, adversarial_weight=0))
    loss = trainer.compute_loss(inputs | {"task_weights": tf.constant(WEIGHTS)})
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_environments_count_by_the_weights_of_their_tasks(backbone, batch, tasks_of):
    """A row that counts 0 for the task of its environment teaches the adversary nothing."""
    model, plan = backbone(), Plan(10, 6)
    with_adversary, without = (
        MPTRecTrainer(model, tasks_of(model), MPTRecLosses(adversarial_weight=weight), plan)
        for weight in (1.0, 0.0)
    )
    with_adversary.discriminator.kernel.assign(tf.zeros_like(with_adversary.discriminator.kernel))
    with_adversary.discriminator.bias.assign(np.log([0.5, 0.25, 0.25]))
    with_adversary.environments.assign([0, 0, 2, 2, 1, 0])
    weights = np.ones([6, 3], np.float32)
    weights[0, 0], weights[1, 0], weights[2, 2] = 3, 0, 2
    inputs = batch() | {"task_weights": tf.constant(weights)}
    found = with_adversary.compute_loss(inputs) - without.compute_loss(inputs)
    # Rows 0 and 5 are in environment 0, whose probability is a half; rows 2 to 4 are not.
    expected = ((3 + 1) * np.log(2) + (2 + 1 + 1) * np.log(4)) / 8
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_new_tasks_have_weights_of_their_own(backbone, batch):
    model = PromptedMPTRec(backbone())
    for name in ("one", "two"):
        model.add_task(BinaryTask(name, name, "1"))
    inputs = batch(tasks=2)
    losses = {
        name: -np.log(np.where(inputs["labels"][:, i] == 1, p, 1 - p))
        for i, (name, p) in enumerate((k, v.numpy()) for k, v in model(inputs).items())
    }
    expected = sum(
        np.average(of, weights=w) for of, w in zip(losses.values(), WEIGHTS.T, strict=False)
    )
    loss = model.compute_loss(inputs | {"task_weights": tf.constant(WEIGHTS[:, :2])})
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
