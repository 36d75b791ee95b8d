"""What must hold of every kind of head on every model that it fits."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.heads.registry import HEADS, list_fitting
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.registry import MODELS

# As if the second feature had ids enough for embeddings of a new task's own.
RANGES = ((0, 0, 4), (1, 0, 12), (2, 8, 4))
TASK = BinaryTask("new", "new", ("1",))


@pytest.mark.parametrize("model", MODELS.names())
def test_a_step_changes_the_head_alone(backbone, batch, model):
    old = backbone(kind=model)
    rows = batch(tasks=1)
    weights = [weight.numpy() for weight in old.weights]
    before = old(rows).numpy()
    prompted = PromptedMPTRec(old)
    encoded = prompted.encode_once(rows) | {"labels": rows["labels"]}
    for kind in list_fitting(MODELS.get(model).offers):
        prompted = PromptedMPTRec(old)
        head = prompted.add_task(TASK, HEADS.get(kind).make_shape(RANGES))
        trained = prompted.trainable_weights
        assert {id(w) for w in trained} == {id(w) for w in head.trainable_weights}
        with tf.GradientTape() as tape:
            loss = prompted.compute_loss(encoded)
        for weight, gradient in zip(trained, tape.gradient(loss, trained), strict=True):
            assert gradient is not None, f"{kind}: {weight.name}"
            weight.assign_sub(tf.convert_to_tensor(gradient))
        assert np.abs(prompted.compute_loss(encoded) - loss) > 0
    np.testing.assert_array_equal(old(rows), before)
    for weight, was in zip(old.weights, weights, strict=True):
        np.testing.assert_array_equal(weight, was)
