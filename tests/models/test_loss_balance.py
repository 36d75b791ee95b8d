"""How the tasks' losses become one, by the papers' equations."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import itertools

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.loss_balance import (
    DynamicWeightAverage,
    FixedWeights,
    ProjectConflicts,
    Uncertainty,
    make_balance,
    project_conflicts,
)
from mptrec_tf.models.loss_weights import LOSS_WEIGHTS, parse_loss_weights
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import AITMLosses, MPTRecLosses, PlainLosses
from mptrec_tf.models.trainer import Plan
from mptrec_tf.storage.plain import to_plain

TASKS = ("click", "like", "buy")
WAYS = ("equal", "1,0.5,2", *LOSS_WEIGHTS.names())


def make_trainer(model, tasks, weights):
    kind = MODELS.get(model.kind)
    return kind.make_trainer(model, tasks, kind.losses(loss_weights=weights), Plan(100, 6))


def test_what_a_text_gives():
    assert parse_loss_weights("1, 0.5,2e-1", TASKS) == (1.0, 0.5, 0.2)
    for name in ("equal", *LOSS_WEIGHTS.names()):
        assert parse_loss_weights(name, TASKS) is None
    assert make_balance("equal", TASKS) is None
    kinds = {"1,2,3": FixedWeights, "uncertainty": Uncertainty, "dwa": DynamicWeightAverage}
    for text, kind in (kinds | {"pcgrad": ProjectConflicts}).items():
        assert type(make_balance(text, TASKS)) is kind


def test_the_default_is_not_written():
    assert to_plain(PlainLosses()) == {}
    assert to_plain(AITMLosses()) == {"constraint_weight": 0.6}
    assert to_plain(AITMLosses(loss_weights="dwa")) == {
        "constraint_weight": 0.6,
        "loss_weights": "dwa",
    }
    assert MPTRecLosses(0.3).gen_weight == 0.3  # places of its own fields stay


@pytest.mark.parametrize("kind", ["shared_bottom", "mptrec"])
def test_fixed_weights_by_hand(backbone, batch, tasks_of, kind):
    model, inputs = backbone(kind=kind), batch()
    trainer = make_trainer(model, tasks_of(model), "1,0.5,2")
    loss = float(trainer.compute_loss(inputs))
    means = {m.name: float(m.result()) for m in trainer.metrics}
    weights = dict(zip(TASKS, (1, 0.5, 2), strict=True))
    expected = sum(w * means[f"loss/{task}"] for task, w in weights.items())
    if kind == "mptrec":
        expected += 0.9 * sum(w * means[f"shared_loss/{task}"] for task, w in weights.items())
        expected += 0.1 * means["discriminator/loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_uncertainty_by_hand(backbone, batch, tasks_of):
    model, inputs = backbone(kind="shared_bottom"), batch()
    plain = make_trainer(model, tasks_of(model), "equal")
    plain.compute_loss(inputs)
    means = {m.name: float(m.result()) for m in plain.metrics}
    losses = np.array([means[f"loss/{task}"] for task in TASKS])
    trainer = make_trainer(model, tasks_of(model), "uncertainty")
    s = np.array([0.5, -1.0, 0.0])
    trainer.balance.log_variances.assign(s)
    with tf.GradientTape() as tape:
        loss = trainer.compute_loss(inputs) + tf.add_n(trainer.balance.losses)
    np.testing.assert_allclose(loss, (np.exp(-s) * losses + s / 2).sum(), rtol=1e-5)
    [gradient] = tape.gradient(loss, [trainer.balance.log_variances])
    np.testing.assert_allclose(gradient, 0.5 - np.exp(-s) * losses, rtol=1e-4)


def test_the_term_of_uncertainty_is_added_once_for_mptrec(backbone, batch, tasks_of):
    model = backbone()
    trainer = make_trainer(model, tasks_of(model), "uncertainty")
    trainer.balance.log_variances.assign([1.0, 2.0, 3.0])
    trainer.compute_loss(batch())
    others = sum(float(of) for of in model.losses)
    assert sum(float(of) for of in trainer.losses) == pytest.approx(others + 3.0, rel=1e-6)


def test_dynamic_weight_average_by_hand():
    balance = DynamicWeightAverage(("a", "b"))
    losses = tf.constant([1.0, 2.0])
    assert balance.sum_tasks(losses) == 3.0
    balance.end_epoch(tf.constant([4.0, 2.0]))
    assert balance.sum_tasks(losses) == 3.0  # two epochs are needed
    balance.end_epoch(tf.constant([2.0, 2.0]))
    ratios = np.array([0.5, 1.0])  # the second task falls more slowly
    expected = 2 * np.exp(ratios / 2) / np.exp(ratios / 2).sum()
    np.testing.assert_allclose(balance.task_weights, expected, rtol=1e-6)
    np.testing.assert_allclose(balance.sum_tasks(losses), expected @ [1, 2], rtol=1e-6)
    balance.end_epoch(tf.constant([1.0, 2.0]))
    np.testing.assert_allclose(balance.task_weights, expected, rtol=1e-6)


def plain_pcgrad(gradients, orders):
    """Algorithm 1, for [K, P] gradients."""
    projected = gradients.astype(np.float64).copy()
    for i, order in enumerate(orders):
        for j in order:
            dot = projected[i] @ gradients[j]
            if j != i and dot < 0:
                projected[i] -= dot / (gradients[j] @ gradients[j]) * gradients[j]
    return projected


def test_two_conflicting_gradients_by_hand():
    g = tf.constant([[1.0, 0.0], [-1.0, 1.0]])
    products = tf.matmul(g, g, transpose_b=True)
    c = project_conflicts(products, tf.constant([[1, 0], [0, 1]]))
    # g_1 - (-1 / 2) g_2 = (0.5, 0.5); g_2 - (-1 / 1) g_1 = (0, 1).
    np.testing.assert_allclose(c @ g, [[0.5, 0.5], [0.0, 1.0]])


def test_projections_equal_a_loop_in_every_order():
    rng = np.random.default_rng(3)
    g = rng.normal(size=(3, 7)).astype(np.float32)
    g[2] = -g[0] + 0.1 * g[1]
    products = tf.constant(g @ g.T)
    for orders in itertools.product(itertools.permutations(range(3)), repeat=3):
        c = project_conflicts(products, tf.constant(orders))
        np.testing.assert_allclose(c @ g, plain_pcgrad(g, orders), rtol=1e-3, atol=1e-5)


def test_what_one_task_alone_has_a_gradient_for_is_left():
    balance = ProjectConflicts(("a", "b"))
    joined = balance.join_gradients(tf.constant([[1.0, 0.0, 5.0, 0.0], [-1.0, 1.0, 0.0, 7.0]]))
    # In the first number they conflict: 1 and -1 cancel each other in both.
    np.testing.assert_allclose(joined, [0.0, 1.0, 5.0, 7.0])
    same = balance.join_gradients(tf.constant([[1.0, 0.5], [1.0, 2.0]]))
    np.testing.assert_allclose(same, [2.0, 2.5])
    zero = balance.join_gradients(tf.zeros([2, 3]))
    np.testing.assert_array_equal(zero, np.zeros(3))


def test_orders_are_permutations_and_change():
    keras.utils.set_random_seed(2)
    balance = ProjectConflicts(TASKS)
    orders = [balance._make_orders().numpy() for _ in range(8)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order, axis=1), [[0, 1, 2]] * 3)
    assert len({order.tobytes() for order in orders}) > 1


def train(model, trainer, dataset, batch, steps=1):
    trainer.compile(optimizer=keras.optimizers.SGD(0.1), jit_compile=False)
    history = trainer.fit(dataset(batch, steps), verbose=0).history
    return {k: v.numpy() for k, v in model.named_weights().items()}, history


def test_a_step_of_pcgrad_by_hand(backbone, batch, dataset, tasks_of):
    inputs = batch()
    changes = {"l2_dense": 0.25, "l2_embedding": 0.5}
    model = backbone(("a", "b"), kind="shared_bottom", **changes)
    # With these towers the same labels pull the bottom apart.
    inputs["labels"] = np.stack([inputs["labels"][:, 0]] * 2, axis=1)
    plain = make_trainer(model, tasks_of(model), "equal")
    weights = model.trainable_weights
    of_tasks = []
    with tf.GradientTape(persistent=True) as tape:
        encoded = model.encode(inputs, True)
        losses = tf.reduce_mean(plain.losses_of(model.predict_tasks(encoded, True), inputs), axis=1)
        l2 = tf.add_n(model.losses)
        parts = [losses[0], losses[1], l2]
    for part in parts:
        gradients = tape.gradient(part, weights, unconnected_gradients="zero")
        of_tasks.append(np.concatenate([np.ravel(tf.convert_to_tensor(g)) for g in gradients]))
    g, rest = np.stack(of_tasks[:2]), of_tasks[2]
    shared = np.where((g != 0).all(axis=0), g, 0)
    assert shared[0] @ shared[1] < 0
    joined = plain_pcgrad(shared, [(0, 1), (0, 1)]).sum(axis=0) + (g - shared).sum(axis=0)
    before = np.concatenate([np.ravel(w) for w in weights])
    trainer = make_trainer(model, tasks_of(model), "pcgrad")
    _, history = train(model, trainer, dataset, inputs)
    after = np.concatenate([np.ravel(w) for w in weights])
    np.testing.assert_allclose(after, before - 0.1 * (joined + rest), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(history["loss"], [float(losses[0] + losses[1])], rtol=1e-5)
    np.testing.assert_allclose(history["regularization_loss"], [float(l2)], rtol=1e-5)


def test_pcgrad_without_conflicts_is_the_plain_sum(backbone, batch, dataset, tasks_of):
    results = []
    for way in ("equal", "pcgrad"):
        model = backbone(("a",), kind="mptrec")
        trainer = make_trainer(model, tasks_of(model), way)
        results.append(train(model, trainer, dataset, batch(tasks=1)))
    (one, first), (other, second) = results
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_its_state_is_saved_and_restored(backbone, batch, dataset, tasks_of, tmp_path, way):
    def make():
        keras.utils.set_random_seed(3)
        model = backbone(kind="shared_bottom")
        trainer = make_trainer(model, tasks_of(model), way)
        trainer.compile(optimizer=keras.optimizers.Adam(0.01))
        trainer.optimizer.build(trainer.trainable_variables)
        return trainer

    trainer = make()
    for _ in range(3):
        trainer.fit(dataset(batch(), 2), verbose=0)
        trainer.end_epoch(0, None)
    path = tf.train.Checkpoint(model=trainer).write(str(tmp_path / "state"))
    copy = make()
    tf.train.Checkpoint(model=copy).read(path).assert_consumed()
    for model in (trainer, copy):
        model.fit(dataset(batch(seed=1), 2), verbose=0)
    for one, other in zip(copy.variables, trainer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    balance = trainer.balance
    changed = {
        "uncertainty": lambda: (balance.log_variances.numpy() != 0).all(),
        "dwa": lambda: (balance.task_weights.numpy() != 1).any(),
    }
    assert changed.get(way, lambda: True)()
