import numpy as np
import pytest
import tensorflow as tf

import mptrec_tf  # noqa: F401  selects Keras 2
from mptrec_tf.data.packed import CATEGORICAL, LABELS, NUMERIC
from mptrec_tf.training.batches import make_memory_rows


def make_rows(count, seed=0, tasks=2):
    """Rows whose labels depend on the features, so that there is something to learn."""
    random = np.random.default_rng(seed)
    ids = random.integers(4, size=(count, 3))
    numeric = random.random((count, 2), np.float32)
    score = numeric[:, :1] * 4 - 2 + (ids[:, :1] - 1.5)
    labels = random.random((count, tasks)) < 1 / (1 + np.exp(-score))
    return make_memory_rows(
        {
            CATEGORICAL: tf.constant(ids + 4 * np.arange(3)),
            NUMERIC: tf.constant(numeric),
            LABELS: tf.constant(labels, tf.float32),
        }
    )


@pytest.fixture(scope="module")
def train():
    return make_rows(300)


@pytest.fixture(scope="module")
def validation():
    return make_rows(100, seed=1)
