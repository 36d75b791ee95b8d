"""LazyAdam: rows of a step change as by Adam, and others not at all."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.keras import keras
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.single import Single
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training import loop
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.lazy_adam import LazyAdam


def train(optimizer, rows_of_steps):
    table = tf.Variable(tf.ones([4, 2]))
    for step, rows in enumerate(rows_of_steps):
        values = tf.fill([len(rows), 2], 1.0 + step)
        gradient = tf.IndexedSlices(values, tf.constant(rows), (4, 2))
        optimizer.apply_gradients([(gradient, table)])
    return table.numpy()


def test_rows_that_every_step_reads_are_those_of_adam():
    steps = [[1, 3]] * 3
    lazy, whole = train(LazyAdam(0.1), steps), train(keras.optimizers.Adam(0.1), steps)
    np.testing.assert_allclose(lazy, whole, rtol=1e-6)


def test_other_rows_stay():
    steps = [[0, 1], [1], [1]]
    lazy, whole = train(LazyAdam(0.1), steps), train(keras.optimizers.Adam(0.1), steps)
    np.testing.assert_array_equal(lazy[2:], 1.0)
    # Adam's first step is of the learning rate; with Keras's, the row goes on moving.
    np.testing.assert_allclose(lazy[0], 0.9, atol=1e-5)
    assert (whole[0] < 0.85).all()


def test_a_row_named_twice_gets_the_sum():
    lazy, once = train(LazyAdam(0.1), [[2, 2]]), train(LazyAdam(0.1), [[2]])
    np.testing.assert_allclose(lazy, once, atol=1e-6)  # of any gradient, one learning rate


def test_dense_gradients_are_adams():
    weights = [tf.Variable([1.0, 2.0]) for _ in range(2)]
    for optimizer, weight in zip((LazyAdam(0.1), keras.optimizers.Adam(0.1)), weights, strict=True):
        for _ in range(3):
            optimizer.apply_gradients([(tf.constant([0.5, -2.0]), weight)])
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize(("over", "moved"), [("batch", [0, 1, 5]), ("table", [*range(12)])])
def test_a_step_moves_the_rows_of_its_batches_alone_where_the_norm_is_theirs(over, moved):
    inputs = (InputShape("categorical", 3, 12), InputShape("numeric", 2))
    small = {"expert_units": (4,), "tower_units": (4,)}
    model = Single(ModelShape(("a",), inputs, l2_embedding_over=over, **small))
    [table] = [w for name, w in model.named_weights().items() if w.shape == (12, 4)]
    trainer = Trainer(model, [BinaryTask("a", "a", ("1",))])
    loop.compile_model(trainer, TrainingConfig(), steps=1)
    rows = {
        "categorical": tf.constant([[0, 1, 5], [5, 1, 0]]),
        "numeric": tf.constant([[0.5, 1.0], [1.0, 0.0]]),
        LABELS: tf.constant([[1.0], [0.0]]),
    }
    before = table.numpy()
    for _ in range(2):
        trainer.train_step(rows)
    assert np.flatnonzero((table.numpy() != before).any(axis=1)).tolist() == moved
