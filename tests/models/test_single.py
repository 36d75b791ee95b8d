"""A network of its own for each task."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import Layout, Moments, Statistics
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.single import Single
from mptrec_tf.models.trainer import Trainer


@pytest.fixture
def single(backbone):
    """Function that makes a tiny model with weights that are nowhere zero."""
    return lambda *args, **changes: backbone(*args, kind="single", **changes)


@pytest.fixture
def plain_single(plain_network):
    """Function that returns x [B, D], h [K, B, H] and logits [K, B], from loops."""

    def plain(model, batch):
        w = {k: v.numpy().astype(np.float64) for k, v in model.named_weights().items()}
        ids, numeric = batch.get("categorical"), batch.get("numeric")
        tasks = len(model.shape.tasks)
        rows = len(ids if ids is not None else numeric)
        xs, hs, logits = [], [[] for _ in range(tasks)], [[] for _ in range(tasks)]
        for b in range(rows):
            embedded = [w["embedding/table"][i] for i in ids[b]] if ids is not None else []
            numbers = [numeric[b]] if numeric is not None else []
            xs.append(np.concatenate([*embedded, *numbers]))
            for k in range(tasks):
                own = [row.reshape(tasks, -1)[k] for row in embedded]
                h = plain_network(w, "experts", k, np.concatenate([*own, *numbers]))
                hs[k].append(h)
                logits[k].append(plain_network(w, "towers", k, h, linear_end=True))
        return np.array(xs), np.array(hs), np.array(logits)

    return plain


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("tasks", [("click",), ("click", "like", "buy")])
def test_equals_a_loop_over_rows_and_tasks(single, batch, plain_single, tasks, rows):
    model, features = single(tasks), batch(rows)
    assert isinstance(model, Single)
    encoded = model.encode(features)
    x, h, logits = plain_single(model, features)
    np.testing.assert_allclose(encoded.x, x, rtol=1e-6)
    np.testing.assert_array_equal(encoded.ids, features["categorical"])
    assert encoded.shared.shape == (0, rows, 4)
    np.testing.assert_allclose(encoded.specific, h, rtol=1e-4, atol=1e-5)
    actual = model.predict_tasks(encoded).logits
    np.testing.assert_allclose(actual, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model(features), tf.transpose(actual))


def test_its_layout(single):
    k = 3
    expected = Layout(3 * k * 2 + 2, shared=0, specific=k, width=4, tasks=k, ids=3)
    assert single().layout == expected
    assert MODELS.get("single").offers == {"specific"}


@pytest.mark.parametrize("without", ["categorical", "numeric"])
def test_one_kind_of_features_alone(single, batch, plain_single, without):
    inputs = tuple(of for of in single().shape.inputs if of.kind != without)
    model = single(inputs=inputs)
    features = {k: v for k, v in batch().items() if k != without}
    x, _, logits = plain_single(model, features)
    np.testing.assert_allclose(model(features), logits.T, rtol=1e-4, atol=1e-5)
    assert x.shape[1] == model.input_width == model.layout.input_width


# Tasks know nothing of one another.


def parts_of(name, value, k):
    """A weight's part that is the task's own."""
    if name == "embedding/table":
        return value.reshape(len(value), 3, -1)[:, k]
    return value[k]


def test_changing_one_tasks_weights_changes_no_other_prediction(single, batch):
    model = single()
    before = model(batch()).numpy()
    for name, weight in model.named_weights().items():
        if name.startswith("standard_"):
            continue
        value = weight.numpy()
        parts_of(name, value, 1)[...] += 0.5  # a view
        assert (value != weight.numpy()).any()
        weight.assign(value)
        after = model(batch()).numpy()
        np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]], err_msg=name)
    assert (after[:, 1] != before[:, 1]).all()


def gradients(model, inputs, tasks):
    trainer = Trainer(model, tasks)
    weights = {k: w for k, w in model.named_weights().items() if not k.startswith("standard_")}
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(inputs, training=True)
    actual = tape.gradient(loss, weights)
    return {name: tf.convert_to_tensor(gradient).numpy() for name, gradient in actual.items()}


def test_changing_one_tasks_labels_changes_no_other_gradient(single, batch, tasks_of):
    # So wide that something of each task is above 0.
    model, inputs = single(expert_units=(16, 12), tower_units=(10,)), batch()
    before = gradients(model, inputs, tasks_of(model))
    inputs["labels"][:, 1] = 1 - inputs["labels"][:, 1]
    after = gradients(model, inputs, tasks_of(model))
    for name, gradient in after.items():
        for k in (0, 2):
            np.testing.assert_array_equal(
                parts_of(name, gradient, k), parts_of(name, before[name], k), err_msg=name
            )
        one, other = (parts_of(name, values, 1) for values in (gradient, before[name]))
        assert np.abs(one).sum() > 0
        assert (one != other).any(), name


def test_tasks_trained_together_are_what_each_is_alone(single, batch, dataset, tasks_of):
    """Adam works element by element, and the L2 terms are sums over the tasks."""
    inputs = {k: v for k, v in batch().items() if k != "row"}
    together = single()
    alone = [single([task]) for task in together.shape.tasks]
    for k, model in enumerate(alone):
        for name, weight in model.named_weights().items():
            if not name.startswith("standard_"):
                value = parts_of(name, together.named_weights()[name].numpy(), k)
                weight.assign(value.reshape(weight.shape))

    def train(model, labels):
        trainer = Trainer(model, tasks_of(model))
        trainer.compile(keras.optimizers.Adam(0.02), run_eagerly=True)
        trainer.fit(dataset({**inputs, "labels": labels}, 4), verbose=0)
        return trainer({k: v for k, v in inputs.items() if k != "labels"}).numpy()

    before = tf.sigmoid(together(inputs)).numpy()
    actual = train(together, inputs["labels"])
    assert (np.abs(actual - before) > 1e-3).any(axis=0).all()
    for k, model in enumerate(alone):
        expected = train(model, inputs["labels"][:, k : k + 1])
        np.testing.assert_allclose(actual[:, k : k + 1], expected, rtol=1e-4)


def test_dropout_in_training_alone(single, batch):
    model = single(expert_dropout=0.5, tower_dropout=0.5)
    plain = model(batch()).numpy()
    np.testing.assert_array_equal(model(batch(), training=False), plain)
    assert not np.array_equal(model(batch(), training=True), plain)


# The inputs of heads, and the description of the model.


def test_standardised_values_by_the_equations(single, batch):
    model = single()
    rng = np.random.default_rng(11)
    sizes = {"x": 20, "shared": (0, 4), "specific": (3, 4), "logits": 3}
    mean = Moments(**{name: rng.normal(size=size) for name, size in sizes.items()})
    deviation = Moments(**{name: 0.2 + rng.random(size) for name, size in sizes.items()})
    model.set_statistics(Statistics(mean, deviation))
    inputs = model.head_inputs(model.encode(batch()))
    assert inputs.prompts.shape == (0, 4)
    assert inputs.standard.shared.shape == (6, 4)
    np.testing.assert_array_equal(inputs.standard.shared, np.zeros((6, 4)))
    for b in range(6):
        x = np.clip((inputs.encoded.x.numpy()[b] - mean.x) / deviation.x, -5, 5)
        np.testing.assert_allclose(inputs.standard.x[b], x, rtol=1e-5, atol=1e-6)
        h = (inputs.encoded.specific.numpy()[:, b] - mean.specific) / deviation.specific
        np.testing.assert_allclose(inputs.standard.specific[b], h.mean(0), rtol=1e-5, atol=1e-6)
        logits = np.clip((inputs.logits.numpy()[:, b] - mean.logits) / deviation.logits, -5, 5)
        np.testing.assert_allclose(inputs.standard.logits[b], logits, rtol=1e-5, atol=1e-6)


def test_what_the_signature_encode_serves(single, batch):
    model = single()
    encoded = model.encode(batch())
    served = model.representations(encoded)
    assert set(served) == {"x", "specific"}  # nothing is shared
    np.testing.assert_array_equal(served["x"], encoded.x)
    for k in range(3):
        np.testing.assert_array_equal(served["specific"][:, k], encoded.specific[k])


def test_parameters_of_joint_training_by_hand(single, shape):
    # Of each task: 12 ids of width 2, an expert 8 -> 5 -> 4, a tower 4 -> 3 -> 1.
    own = 12 * 2 + (8 * 5 + 5 + 5 * 4 + 4) + (4 * 3 + 3 + 3 + 1)
    assert own == 112
    model = single()
    assert sum(int(tf.size(w)) for w in model.parameters) == 3 * own
    assert (model.joint_parameters(), model.joint_parameters(2)) == (4 * own, 5 * own)
    four = Single(shape("abcd", kind="single"))
    assert sum(int(tf.size(w)) for w in four.trainable_weights) == 4 * own


def test_names_of_weights(single):
    assert list(single().named_weights()) == [
        "embedding/table",
        *(f"experts/{what}_{i}" for what in ("bias", "kernel") for i in (0, 1)),
        *(
            f"standard_{of}/{what}"
            for of in ("logits", "shared", "specific", "x")
            for what in ("mean", "scale")
        ),
        *(f"towers/{what}_{i}" for what in ("bias", "kernel") for i in (0, 1)),
    ]
