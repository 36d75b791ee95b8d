import contextlib

import numpy as np
import pytest
import tensorflow as tf

import mptrec_tf  # noqa: F401  selects Keras 2
from mptrec_tf.data.packed import CATEGORICAL, LABELS, NUMERIC
from mptrec_tf.training import loop
from mptrec_tf.training.batches import make_memory_rows

# XLA compiles the steps of every kind of model, of corrected losses, and of tasks of a funnel.
WITH_XLA = {"test_kinds_of_models", "test_corrections", "test_entire_space"}


COMPILE_MODEL = loop.compile_model


@pytest.fixture
def with_xla(monkeypatch):
    """Tests that compare bits of trainings train as users do."""
    monkeypatch.setattr(loop, "compile_model", COMPILE_MODEL)


@pytest.fixture(scope="module", autouse=True)
def _xla(request, without_xla):
    with contextlib.nullcontext() if request.path.stem in WITH_XLA else without_xla():
        yield


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
