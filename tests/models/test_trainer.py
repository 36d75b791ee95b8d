"""What the trainers of all kinds of models share."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.task_outputs import task_losses, task_predictions
from mptrec_tf.models.trainer import Plan, Trainer, mean_over_batch

# Probabilities 1/2, 3/4 of task 0 (both positive); 1/4 (negative), 1/2 (positive) of task 1.
LOGITS = tf.constant([[0.0, np.log(3.0)], [-np.log(3.0), 0.0]])  # K = 2, B = 2
TWO = [BinaryTask("click", "click", ("1",)), BinaryTask("buy", "buy", ("1",))]


def test_task_losses_by_hand():
    labels = tf.constant([[1.0, 0.0], [1.0, 1.0]])  # [B, K]
    expected = [[np.log(2), np.log(4 / 3)], [np.log(4 / 3), np.log(2)]]
    np.testing.assert_allclose(task_losses(TWO, LOGITS, labels), expected, rtol=1e-6)


def test_task_predictions_by_hand():
    expected = np.array([[1 / 2, 3 / 4], [1 / 4, 1 / 2]])
    np.testing.assert_allclose(task_predictions(TWO, LOGITS), expected, rtol=1e-6)
    actual = task_predictions(TWO, tf.stack([LOGITS, -LOGITS]))  # [2, K, B]
    np.testing.assert_allclose(actual, [expected, 1 - expected], rtol=1e-6)


def test_mean_over_batch_by_hand():
    values = tf.constant([[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]])
    np.testing.assert_allclose(mean_over_batch(values, None), [3, 1])
    weight = tf.constant([2.0, 1.0, 1.0])
    np.testing.assert_allclose(mean_over_batch(values, weight), [10 / 4, 3 / 4])
    np.testing.assert_allclose(mean_over_batch(values, tf.zeros(3)), [0, 0])


@pytest.mark.parametrize("kind", ["mptrec", "single", "shared_bottom"])
def test_a_trainer_predicts_what_its_models_logits_say(backbone, batch, tasks_of, kind):
    model = backbone(kind=kind)
    logits = model(batch()).numpy()
    trainer = Trainer(model, tasks_of(model))
    np.testing.assert_allclose(trainer(batch()), 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_allclose(trainer.report(batch())["prediction"], trainer(batch()), rtol=1e-5)


def test_nothing_is_due_after_an_epoch(backbone, tasks_of):
    model = backbone(kind="single")

    def batches():
        raise AssertionError("no rows should be read")

    Trainer(model, tasks_of(model)).end_epoch(0, batches)


@pytest.mark.parametrize(("l2_over", "fixed"), [("table", True), ("batch", False)])
def test_whether_xla_knows_all_shapes(backbone, tasks_of, l2_over, fixed):
    model = backbone(l2_embedding_over=l2_over)
    trainer = Trainer(model, tasks_of(model))
    assert trainer.fixed_shapes == fixed
    assert trainer.rows_alone != fixed


def test_tasks_in_another_order_are_named(backbone, tasks_of):
    model = backbone()
    with pytest.raises(ValueError, match=r"tasks should be \('click', 'like', 'buy'\)\. Received"):
        Trainer(model, tasks_of(model)[::-1])


def test_wrong_numbers_of_steps_and_rows_are_named():
    with pytest.raises(ValueError, match=r"steps should be 1 or more. Received: 0"):
        Plan(steps=0, rows=5)
    with pytest.raises(ValueError, match=r"rows should be 1 or more. Received: 0"):
        Plan(steps=1, rows=0)
