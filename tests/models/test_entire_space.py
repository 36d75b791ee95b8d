import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.entire_space import multiply, order_by_given, total_predictions
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.task_outputs import task_losses, task_predictions
from mptrec_tf.models.trainer import Trainer


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_the_product_by_hand():
    a, b = np.array([0.0, 1.5, -2.0, 3.0]), np.array([0.0, -0.5, 2.0, 4.0])
    product = tf.sigmoid(multiply(tf.constant(a), tf.constant(b))).numpy()
    np.testing.assert_allclose(product, sigmoid(a) * sigmoid(b), rtol=1e-12)


@pytest.mark.parametrize("a", [-200.0, -30.0, 0.0, 30.0, 200.0])
@pytest.mark.parametrize("b", [-200.0, -30.0, 0.0, 30.0, 200.0])
def test_no_logit_is_too_large(a, b):
    given, conditional = tf.Variable(a), tf.Variable(b)
    with tf.GradientTape() as tape:
        total = multiply(given, conditional)
        loss = tf.nn.sigmoid_cross_entropy_with_logits(tf.constant(1.0), total)
    gradients = tape.gradient(loss, [given, conditional])
    assert np.isfinite([total, loss, *gradients]).all()
    # 1 / (p q) - 1 = e^-a + e^-b + e^-(a + b)
    expected = -np.logaddexp.reduce([-a, -b, -(a + b)])
    np.testing.assert_allclose(total, expected, rtol=1e-6, atol=1e-6)
    # The gradient of -log p - log q.
    np.testing.assert_allclose(gradients, -sigmoid([-a, -b]), rtol=1e-5, atol=1e-6)


def test_a_chain_in_any_order():
    view, click = BinaryTask("view", "v", "1"), BinaryTask("click", "c", "1", given="view")
    buy = BinaryTask("buy", "b", "1", given="click")
    own = [tf.constant([value]) for value in (0.5, 0.25, 0.125)]
    totals = total_predictions([buy, view, click], own, {})
    np.testing.assert_array_equal(tf.concat(totals, 0), [0.5 * 0.25 * 0.125, 0.25, 0.25 * 0.125])
    with pytest.raises(KeyError, match="click"):
        total_predictions([buy], own[:1], {})


CLICK, BUY = BinaryTask("click", "c", "1"), BinaryTask("buy", "b", "1", given="click")


def test_the_loss_by_hand():
    """-(y log p q + (1 - y) log(1 - p q)), and the loss of the click as it is."""
    a, b = np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.5, -2.0])
    labels = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    p, q = sigmoid(a), sigmoid(b)
    expected = [
        -np.log(np.where(labels[:, 0], p, 1 - p)),
        -np.log(np.where(labels[:, 1], p * q, 1 - p * q)),
    ]
    logits = tf.constant([a, b], tf.float32)
    losses = task_losses([CLICK, BUY], logits, tf.constant(labels, tf.float32))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(task_predictions([CLICK, BUY], logits), [p, p * q], rtol=1e-6)
    # The same of a frozen click, whose prediction is known.
    known = {"click": tf.constant(p, tf.float32)}
    alone = task_losses([BUY], logits[1:], tf.constant(labels[:, 1:], tf.float32), known)
    np.testing.assert_allclose(alone, expected[1:], rtol=1e-5)
    np.testing.assert_allclose(task_predictions([BUY], logits[1:], known), [p * q], rtol=1e-6)


def test_both_factors_are_trained_over_all_rows():
    """A row that was not bought lowers the click's logit, even without a label of its own."""
    logits = tf.Variable([[0.3], [1.0]])
    with tf.GradientTape() as tape:
        loss = task_losses([CLICK, BUY], logits, tf.constant([[0.0, 0.0]]))[1]
    gradients = tape.gradient(loss, logits)
    p, q = sigmoid(0.3), sigmoid(1.0)
    expected = [[p * (1 - p) * q / (1 - p * q)], [p * q * (1 - q) / (1 - p * q)]]
    np.testing.assert_allclose(gradients, expected, rtol=1e-5)


def test_a_pretrained_model_reports_the_factors(backbone, batch):
    model = backbone(("click", "buy", "like"), kind="shared_bottom")
    like = BinaryTask("like", "l", "1")
    trainer = Trainer(model, [CLICK, BUY, like])
    report = trainer.report(batch(6))
    own = sigmoid(model(batch(6)))
    np.testing.assert_allclose(report["conditional"][:, 1], own[:, 1], rtol=1e-5)
    np.testing.assert_allclose(report["given"][:, 1], own[:, 0], rtol=1e-5)
    assert np.isnan(report["given"].numpy()[:, [0, 2]]).all()
    expected = np.stack([own[:, 0], own[:, 0] * own[:, 1], own[:, 2]], axis=1)
    np.testing.assert_allclose(report["prediction"], expected, rtol=1e-5)
    trainer = Trainer(backbone(("click",), kind="shared_bottom"), [CLICK])
    assert set(trainer.report(batch(6, 1))) == {"prediction"}


def test_a_new_task_on_a_frozen_one(backbone, batch):
    frozen = backbone(("click", "like"))
    frozen.set_tasks([CLICK, BinaryTask("like", "l", "1")])
    model = PromptedMPTRec(frozen)
    model.add_task(BUY)
    model.add_task(BinaryTask("share", "s", "1"))
    rows = batch(6, 2)
    report = model.report(rows)
    clicks = sigmoid(frozen(rows))[:, 0]
    np.testing.assert_allclose(report["given"][:, 0], clicks, rtol=1e-5)
    product = report["given"][:, 0] * report["conditional"][:, 0]
    np.testing.assert_array_equal(report["prediction"][:, 0], product)
    np.testing.assert_allclose(model(rows)["buy"], report["prediction"][:, 0], rtol=1e-6)
    model.compile(optimizer="sgd")
    before = [weight.numpy() for weight in frozen.weights]
    model.fit(tf.data.Dataset.from_tensors(rows), verbose=0)
    for weight, value in zip(frozen.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_frozen_model_without_the_given_task(backbone, batch):
    model = PromptedMPTRec(backbone(("like", "share")))
    model.add_task(BUY)
    with pytest.raises(ValueError, match="should have the task 'click', which a new task is given"):
        model(batch(6, 1))


def test_tasks_are_ordered_by_what_they_are_given():
    view = BinaryTask("view", "v", "1")
    click = BinaryTask("click", "c", "1", given="view")
    assert order_by_given([BUY, view, click, BinaryTask("like", "l", "1")]) == [[1, 3], [2], [0]]
    assert order_by_given([BUY]) == [[0]]  # what it is given is another model's
