"""CSRec's training: the tasks in turn, and shared weights by contrast."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.csrec import CSRecTrainer, share_by_contrast
from mptrec_tf.models.shapes import CSRecLosses
from mptrec_tf.models.trainer import Trainer

RATE = 0.5


def test_says_by_hand():
    contrasts = np.array([[[3.0, 2.0, 0.0, 0.0]], [[1.0, 5.0, 0.0, 7.0]]], np.float32)
    masks = np.array([[[1.0, 1.0, 1.0, 0.0]], [[1.0, 0.0, 1.0, 1.0]]], np.float32)
    says = share_by_contrast(contrasts, masks)
    # Of two readers by their contrasts; of one all; without a contrast in equal parts.
    np.testing.assert_allclose(says, [[[0.75, 1.0, 0.5, 0.0]], [[0.25, 0.0, 0.5, 1.0]]])
    np.testing.assert_allclose(share_by_contrast(contrasts, 0 * masks), np.zeros((2, 1, 4)))


@pytest.fixture
def make(backbone, batch, tasks_of):
    """Returns a function that makes a trainer on plain gradient descent, and its batch."""

    def make(masked=True, trainer=CSRecTrainer, losses=None, tasks="ab", **shape):
        keras.utils.set_random_seed(3)
        model = backbone(tuple(tasks), kind="csrec", **shape)
        inputs = {name: tf.constant(value) for name, value in batch().items()}
        inputs["labels"] = inputs["labels"][:, : len(tasks)]
        if masked:
            rng = np.random.default_rng(0)
            for mask in model.experts.masks:
                mask.assign(rng.integers(0, 2, mask.shape))
        made = trainer(model, tasks_of(model), losses)
        made.compile(optimizer=keras.optimizers.SGD(RATE))
        return made, inputs

    return make


def gradients_of(trainer, inputs, task):
    """Gradients of a task's loss, by name of the weight."""
    model = trainer.backbone
    with tf.GradientTape() as tape:
        outputs = model.predict_tasks(model.encode(inputs, True), True)
        loss = tf.reduce_mean(trainer.losses_of(outputs, inputs), axis=1)[task]
    names = model.named_weights()
    found = tape.gradient(loss, list(names.values()), unconnected_gradients="zero")
    return {
        name: tf.convert_to_tensor(gradient).numpy()
        for name, gradient in zip(names, found, strict=True)
    }, float(loss)


def values_of(trainer):
    return {name: w.numpy() for name, w in trainer.backbone.named_weights().items()}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_by_hand(make, compiled):
    trainer, inputs = make(l2_embedding=0.0, l2_dense=0.0)
    by_hand, _ = make(l2_embedding=0.0, l2_dense=0.0)
    step = tf.function(trainer.train_step, autograph=False, jit_compile=compiled)
    contrasts = [np.zeros(mask.shape) for mask in by_hand.backbone.experts.masks]
    for _ in range(2):
        logs = {name: float(value) for name, value in step(inputs).items()}
        losses = []
        for task in range(2):
            found, loss = gradients_of(by_hand, inputs, task)
            losses.append(loss)
            for name, weight in by_hand.backbone.named_weights().items():
                if "mask" in name:
                    continue
                say = 1.0
                if name.startswith("experts/kernel_"):
                    layer = int(name[-1])
                    mask = by_hand.backbone.experts.masks[layer].numpy()
                    now = np.abs(weight.numpy() * found[name])[0]
                    contrasts[layer][task] += 0.1 * (now - contrasts[layer][task])
                    read = contrasts[layer] * mask
                    total = read.sum(axis=0)
                    equal = mask[task] / np.maximum(mask.sum(axis=0), 1)
                    say = np.where(total > 0, read[task] / np.where(total > 0, total, 1), equal)
                weight.assign(weight.numpy() - RATE * say * found[name])
        assert logs["loss"] == pytest.approx(sum(losses), rel=1e-5)
    for name, value in values_of(by_hand).items():
        np.testing.assert_allclose(values_of(trainer)[name], value, rtol=1e-4, atol=1e-6)
    for actual, expected in zip(trainer.contrasts, contrasts, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-8)
    assert trainer.optimizer.iterations == 4  # each of two tasks, twice
    assert trainer.updates_per_step == 2


def test_a_weight_that_no_task_reads_stays(make):
    trainer, inputs = make(l2_embedding=0.0, l2_dense=0.0)
    before = values_of(trainer)
    trainer.train_step(inputs)
    for layer, mask in enumerate(trainer.backbone.experts.masks):
        name = f"experts/kernel_{layer}"
        unread = mask.numpy().sum(axis=0) == 0
        changed = (values_of(trainer)[name] != before[name])[0]
        assert unread.any()
        assert not changed[unread].any()
        assert changed.any()


def test_one_task_trains_as_without_a_contrast(make):
    trainer, inputs = make(masked=False, tasks="a", l2_embedding=0.1, l2_dense=0.2)
    plain, _ = make(masked=False, tasks="a", trainer=Trainer, l2_embedding=0.1, l2_dense=0.2)
    for _ in range(3):
        logs, expected = trainer.train_step(inputs), plain.train_step(inputs)
        for name in ("loss", "regularization_loss", "total_loss"):
            np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5)
    for name, value in values_of(plain).items():
        np.testing.assert_allclose(values_of(trainer)[name], value, rtol=1e-5, atol=1e-6)


def test_loss_weights(make):
    trainer, inputs = make(losses=CSRecLosses(loss_weights="1,0"))
    before = values_of(trainer)["towers/kernel_0"]
    trainer.train_step(inputs)
    changed = np.abs(values_of(trainer)["towers/kernel_0"] - before).sum(axis=(1, 2))
    assert changed[0] > 10 * changed[1]  # the other's L2 alone
    with pytest.raises(InputError, match="cannot have loss_weights 'pcgrad'; give numbers"):
        CSRecLosses(loss_weights="pcgrad")
