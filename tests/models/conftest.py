"""Tiny models, their batches, and the equations of the method as plain loops in NumPy."""

import dataclasses

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.keras import keras
from mptrec_tf.models.registry import MODELS

TASKS = ("click", "like", "buy")
INPUTS = (InputShape("categorical", 3, 12), InputShape("numeric", 2))


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(7)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def network(w, layer, e, x, linear_end=False):
    """Network `e` of a bank on one sample."""
    layers = sum(name.startswith(f"{layer}/kernel") for name in w)
    for i in range(layers):
        x = x @ w[f"{layer}/kernel_{i}"][e] + w[f"{layer}/bias_{i}"][e, 0]
        if not (linear_end and i == layers - 1):
            x = np.maximum(x, 0)
    return x[0] if linear_end else x


def bce(logit, label):
    """-log of the predicted probability of the label."""
    return -np.log(sigmoid(logit) if label else 1 - sigmoid(logit))


@pytest.fixture
def plain_network():
    return network


@dataclasses.dataclass
class Plain:
    """MPT-Rec's outputs for a batch, from loops over rows and tasks."""

    x: np.ndarray  # [B, D]
    shared: np.ndarray  # [B, H]
    specific: np.ndarray  # [K, B, H]
    logits: np.ndarray  # [K, B]
    shared_logits: np.ndarray  # [K, B]
    gates: np.ndarray  # [K, B, 2]


def plain_mptrec(backbone, batch):
    w = {k: v.numpy().astype(np.float64) for k, v in backbone.named_weights().items()}
    count = len(backbone.shape.tasks)
    ids, numeric = batch.get("categorical"), batch.get("numeric")
    rows = len(ids if ids is not None else numeric)
    out = [[] for _ in range(3)], [[[] for _ in range(count)] for _ in range(4)]
    (xs, shareds, _), (specifics, logits, shared_logits, gates) = out
    for b in range(rows):
        parts = [w["embedding/table"][i] for i in ids[b]] if ids is not None else []
        x = np.concatenate([*parts, *([numeric[b]] if numeric is not None else [])])
        h = [network(w, "experts", e, x) for e in range(1 + count)]
        xs.append(x)
        shareds.append(h[0])
        for k in range(count):
            aware = h[1 + k] * w["prompts/prompts"][k]
            gate = softmax(x @ w["gates/kernel"][:, 2 * k : 2 * k + 2])
            fused = {
                "full": gate[0] * aware + gate[1] * h[0],
                "share_only": h[0],
                "specific_only": aware,
            }[backbone.shape.fusion]
            specifics[k].append(h[1 + k])
            gates[k].append(gate)
            logits[k].append(network(w, "towers", k, fused, linear_end=True))
            shared_logits[k].append(network(w, "towers", k, h[0], linear_end=True))
    return Plain(*map(np.array, (xs, shareds, specifics, logits, shared_logits, gates)))


@pytest.fixture
def plain():
    return plain_mptrec


@pytest.fixture
def plain_bce():
    return np.vectorize(bce)


def make_shape(tasks=TASKS, kind="mptrec", **changes):
    shape = {
        "inputs": INPUTS,
        "embedding_width": 2,
        "expert_units": (5, 4),
        "tower_units": (3,),
    }
    return MODELS.get(kind).shape(tasks=tuple(tasks), **(shape | changes))


@pytest.fixture
def shape():
    """Function that makes a tiny shape, with changes."""
    return make_shape


def make_backbone(tasks=TASKS, kind="mptrec", **changes):
    model = MODELS.get(kind).make(make_shape(tasks, kind, **changes))
    rng = np.random.default_rng(5)
    for weight in model.named_weights().values():  # biases too
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


@pytest.fixture
def backbone():
    """Function that makes a tiny model with weights that are nowhere zero."""
    return make_backbone


@pytest.fixture
def tasks_of():
    """Function that makes the tasks of a model."""
    return lambda model: [BinaryTask(name, name, ("1",), ("0",)) for name in model.shape.tasks]


def make_batch(rows=6, tasks=3, *, weight=False, seed=0):
    rng = np.random.default_rng(seed)
    batch = {
        "categorical": rng.integers(0, 12, (rows, 3)),
        "numeric": rng.random((rows, 2)).astype(np.float32),
        "labels": rng.integers(0, 2, (rows, tasks)).astype(np.float32),
        "row": np.arange(rows, dtype=np.int32),
    }
    if weight:
        batch["weight"] = rng.random(rows).astype(np.float32)
    return batch


@pytest.fixture
def batch():
    """Function that makes a batch of NumPy arrays."""
    return make_batch


def make_dataset(batch, steps=1):
    return tf.data.Dataset.from_tensors(batch).repeat(steps)


@pytest.fixture
def dataset():
    """Function that makes a data set of one batch, over and over."""
    return make_dataset
