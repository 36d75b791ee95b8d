"""A residual head with embeddings of its own."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout, Standardized
from mptrec_tf.models.heads.own_embedding import OwnEmbeddingHead
from mptrec_tf.models.heads.own_embedding_shape import OwnEmbeddingConfig
from mptrec_tf.models.heads.residual import ResidualHead
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.weights import named_weights

D, H = 7, 4
LAYOUT = Layout(D, shared=1, specific=2, width=H, tasks=2, ids=3)
TABLES = ((0, 0, 12), (2, 20, 10))
SIZES = {"expert_units": 5, "tower_units": (6, 3)}


def randomize(head):
    rng = np.random.default_rng(2)
    for weight in named_weights(head).values():
        weight.assign(rng.normal(size=weight.shape))
    return head


def make_inputs(rows=5):
    rng = np.random.default_rng(rows)
    sizes = ((rows, D), (rows, H), (rows, H), (rows, 2))
    standard = [tf.constant(rng.normal(size=size).astype(np.float32)) for size in sizes]
    ids = tf.constant(rng.integers([0, 12, 20], [12, 20, 30], (rows, 3)))
    return HeadInputs(Encoded(None, ids, None, None), None, None, Standardized(*standard))


def test_the_expert_reads_the_embeddings():
    """The rest of the head is the residual head's, whose tests it shares."""
    head = randomize(OwnEmbeddingHead(OwnEmbeddingConfig(**SIZES, table_ranges=TABLES), LAYOUT))
    inputs = make_inputs()
    table = named_weights(head)["own/table"].numpy()
    assert table.shape == (22, 4)
    read = head.read_expert_input(inputs).numpy()
    for b, ids in enumerate(inputs.encoded.ids.numpy()):
        x = inputs.standard.x.numpy()[b]
        expected = np.concatenate([x, table[ids[0]], table[12 + ids[2] - 20]])
        np.testing.assert_array_equal(read[b], expected)
    # The same with the embeddings among the features.
    wide = ResidualHead(
        ResidualConfig(**SIZES), Layout(D + 8, shared=1, specific=2, width=H, tasks=2, ids=3)
    )
    weights = named_weights(head)
    for name, weight in named_weights(wide).items():
        values = weights[name].numpy()
        # The gate does not read them.
        weight.assign(np.pad(values, [[0, 8], [0, 0]]) if name == "gate/kernel" else values)
    standard = inputs.standard._replace(x=tf.constant(read))
    expected = wide(inputs._replace(standard=standard)).logits
    np.testing.assert_allclose(head(inputs).logits, expected, rtol=1e-5, atol=1e-5)


def test_without_large_features_it_is_the_residual_head():
    head = randomize(OwnEmbeddingHead(OwnEmbeddingConfig(**SIZES), LAYOUT))
    residual = ResidualHead(ResidualConfig(**SIZES), LAYOUT)
    residual.set_weights(head.get_weights())
    inputs = make_inputs()
    np.testing.assert_array_equal(head(inputs).logits, residual(inputs).logits)


@pytest.mark.parametrize("tables", [(), TABLES])
def test_config_round_trip_and_rescaling(tables):
    head = randomize(OwnEmbeddingHead(OwnEmbeddingConfig(**SIZES, table_ranges=tables), LAYOUT))
    copy = OwnEmbeddingHead.from_config(json.loads(json.dumps(head.get_config())))
    assert (copy.config, copy.layout) == (head.config, head.layout)
    copy.set_weights(head.get_weights())
    inputs = make_inputs()
    before = head(inputs).logits
    np.testing.assert_array_equal(copy(inputs).logits, before)
    head.rescale(2.0, 0.25)
    np.testing.assert_allclose(head(inputs).logits, 2 * before + 0.25, rtol=1e-4, atol=1e-5)
