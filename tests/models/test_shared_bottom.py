"""One expert that all tasks share, and a tower for each task."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import Layout, Moments, Statistics
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shared_bottom import SharedBottom


@pytest.fixture
def bottom(backbone):
    """Function that makes a tiny model with weights that are nowhere zero."""
    return lambda *args, **changes: backbone(*args, kind="shared_bottom", **changes)


@pytest.fixture
def plain_bottom(plain_network):
    """Function that returns x [B, D], h_0 [B, H] and logits [K, B], from loops."""

    def plain(model, batch):
        w = {k: v.numpy().astype(np.float64) for k, v in model.named_weights().items()}
        ids, numeric = batch.get("categorical"), batch.get("numeric")
        tasks = len(model.shape.tasks)
        rows = len(ids if ids is not None else numeric)
        xs, hs, logits = [], [], [[] for _ in range(tasks)]
        for b in range(rows):
            parts = [w["embedding/table"][i] for i in ids[b]] if ids is not None else []
            xs.append(np.concatenate([*parts, *([numeric[b]] if numeric is not None else [])]))
            hs.append(plain_network(w, "experts", 0, xs[-1]))
            for k in range(tasks):
                logits[k].append(plain_network(w, "towers", k, hs[-1], linear_end=True))
        return np.array(xs), np.array(hs), np.array(logits)

    return plain


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("tasks", [("click",), ("click", "like", "buy")])
def test_equals_a_loop_over_rows_and_tasks(bottom, batch, plain_bottom, tasks, rows):
    model, features = bottom(tasks), batch(rows)
    assert isinstance(model, SharedBottom)
    encoded = model.encode(features)
    x, h, logits = plain_bottom(model, features)
    np.testing.assert_allclose(encoded.x, x, rtol=1e-6)
    np.testing.assert_array_equal(encoded.ids, features["categorical"])
    np.testing.assert_allclose(encoded.shared, h[np.newaxis], rtol=1e-4, atol=1e-5)
    assert encoded.specific.shape == (0, rows, 4)
    actual = model.predict_tasks(encoded).logits
    np.testing.assert_allclose(actual, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(features), tf.transpose(actual))


def test_its_layout(bottom):
    expected = Layout(8, 1, 0, width=4, tasks=3, ids=3, experts=1, expert_units=(5, 4))
    assert bottom().layout == expected
    assert MODELS.get("shared_bottom").offers == {"shared", "experts"}


@pytest.mark.parametrize("without", ["categorical", "numeric"])
def test_one_kind_of_features_alone(bottom, batch, plain_bottom, without):
    inputs = tuple(of for of in bottom().shape.inputs if of.kind != without)
    model = bottom(inputs=inputs)
    features = {k: v for k, v in batch().items() if k != without}
    x, _, logits = plain_bottom(model, features)
    np.testing.assert_allclose(model(features), logits.T, rtol=1e-4, atol=1e-5)
    assert x.shape[1] == model.input_width == model.layout.input_width


def test_a_task_depends_on_its_tower_and_on_what_is_shared(bottom, batch):
    model = bottom()
    before = model(batch()).numpy()
    value = model.towers.biases[-1].numpy()
    value[1] += 1
    model.towers.biases[-1].assign(value)
    after = model(batch()).numpy()
    np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])
    np.testing.assert_allclose(after[:, 1], before[:, 1] + 1, rtol=1e-5)
    model.experts.biases[-1].assign_add(tf.ones_like(model.experts.biases[-1]))
    assert (model(batch()).numpy() != after).any(axis=0).all()


def test_standardised_values_by_the_equations(bottom, batch):
    model = bottom()
    rng = np.random.default_rng(11)
    sizes = {"x": 8, "shared": (1, 4), "specific": (0, 4), "logits": 3}
    mean = Moments(**{name: rng.normal(size=size) for name, size in sizes.items()})
    deviation = Moments(**{name: 0.2 + rng.random(size) for name, size in sizes.items()})
    model.set_statistics(Statistics(mean, deviation))
    inputs = model.head_inputs(model.encode(batch()))
    assert inputs.prompts.shape == (0, 4)
    assert inputs.standard.specific.shape == (6, 4)
    np.testing.assert_array_equal(inputs.standard.specific, np.zeros((6, 4)))
    for b in range(6):
        x = np.clip((inputs.encoded.x.numpy()[b] - mean.x) / deviation.x, -5, 5)
        np.testing.assert_allclose(inputs.standard.x[b], x, rtol=1e-5, atol=1e-6)
        h_0 = (inputs.encoded.shared.numpy()[0, b] - mean.shared[0]) / deviation.shared[0]
        np.testing.assert_allclose(inputs.standard.shared[b], h_0, rtol=1e-5, atol=1e-6)
        logits = np.clip((inputs.logits.numpy()[:, b] - mean.logits) / deviation.logits, -5, 5)
        np.testing.assert_allclose(inputs.standard.logits[b], logits, rtol=1e-5, atol=1e-6)


def test_what_the_signature_encode_serves(bottom, batch):
    model = bottom()
    encoded = model.encode(batch())
    served = model.representations(encoded)
    assert set(served) == {"x", "shared"}  # nothing is specific
    np.testing.assert_array_equal(served["x"], encoded.x)
    np.testing.assert_array_equal(served["shared"], encoded.shared[0])


def test_parameters_of_joint_training_by_hand(bottom, shape):
    # 12 ids of width 2 and an expert 8 -> 5 -> 4 for all; towers 4 -> 3 -> 1.
    shared, tower = 12 * 2 + (8 * 5 + 5 + 5 * 4 + 4), 4 * 3 + 3 + 3 + 1
    assert (shared, tower) == (93, 19)
    model = bottom()
    assert sum(int(tf.size(w)) for w in model.parameters) == shared + 3 * tower
    assert model.joint_parameters() == shared + 4 * tower
    assert model.joint_parameters(2) == shared + 5 * tower
    four = SharedBottom(shape("abcd", kind="shared_bottom"))
    assert sum(int(tf.size(w)) for w in four.trainable_weights) == shared + 4 * tower
