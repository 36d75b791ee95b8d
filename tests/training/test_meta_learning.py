"""First weights by MAML: the gradient through the inner step, and a training that begins there."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.errors import InputError
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.single import Single
from mptrec_tf.training import loop
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.meta_learning import MetaLearner, MetaLearning
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext

OLD = [BinaryTask("click", "clicked", above=0), BinaryTask("like", "liked", above=0)]
INPUTS = (InputShape("categorical", 3, rows=12), InputShape("numeric", 2))
PARTS = ("kernel", "bias")
ALPHA = 0.5
SMALL = {"expert_units": (6, 4), "tower_units": (3,)}


@pytest.fixture(scope="module")
def learner():
    tf.random.set_seed(0)
    return MetaLearner(Single(ModelShape(("share",), INPUTS, **SMALL)), OLD, inner_rate=ALPHA)


@pytest.fixture(scope="module")
def halves(train):
    parts = slice(40), slice(40, 80)
    return [{k: v[part] for k, v in train.columns.items()} for part in parts]


def forward(weights, batch):
    """The network's logits, written out as a function of its weights."""
    table, *layers = weights
    x = tf.reshape(tf.gather(table, batch["categorical"]), [-1, 3 * 4])
    h = tf.concat([x, batch["numeric"]], axis=1)
    for i in range(0, len(layers), 2):
        h = h @ layers[i][0] + tf.reshape(layers[i + 1], [1, -1])
        h = tf.nn.relu(h) if i + 2 < len(layers) else h
    return h[:, 0]


def loss_after_a_step(weights, k, support, query):
    """L_k(query; theta_k): equation 1 as it stands, so that gradients go through it."""

    def loss(of, batch):
        labels = batch[LABELS][:, k]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, forward(of, batch))
        return tf.reduce_mean(losses)

    with tf.GradientTape() as tape:
        tape.watch(weights)
        first = loss(weights, support)
    gradient = tape.gradient(first, weights)
    return loss(
        [w - ALPHA * tf.convert_to_tensor(g) for w, g in zip(weights, gradient, strict=True)], query
    )


@pytest.mark.parametrize("k", [0, 1])
def test_the_gradient_goes_through_the_inner_step(learner, halves, k):
    names = [
        "embedding/table",
        *(f"{bank}/{part}_{i}" for bank in ("experts", "towers") for i in (0, 1) for part in PARTS),
    ]
    variables = [learner.backbone.named_weights()[name] for name in names]
    start = [tf.constant(weight.numpy()) for weight in variables]
    loss, gradient = learner.differentiate(k, *halves)
    for weight, value in zip(variables, start, strict=True):
        np.testing.assert_array_equal(weight, value)  # theta itself has not moved
    with tf.GradientTape() as tape:
        tape.watch(start)
        expected_loss = loss_after_a_step(start, k, *halves)
    assert float(loss) == pytest.approx(float(expected_loss), abs=1e-6)
    places = {id(w): i for i, w in enumerate(learner.backbone.trainable_variables)}
    of_variable = [gradient[places[id(variable)]] for variable in variables]
    for name, found, wanted in zip(
        names, of_variable, tape.gradient(expected_loss, start), strict=True
    ):
        np.testing.assert_allclose(found, tf.convert_to_tensor(wanted), 1e-3, 1e-6, err_msg=name)


def test_old_tasks_are_predicted_after_a_step_of_theirs(learner, halves):
    learner.end_epoch(0, lambda: [halves[0]])
    predictions = learner.report(halves[1])["prediction"].numpy()
    for k in range(2):
        loss, _ = learner.differentiate(k, *halves)
        labels, p = halves[1][LABELS].numpy()[:, k], predictions[:, k]
        by_hand = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
        assert by_hand == pytest.approx(float(loss), abs=1e-5)


def test_a_batch_of_one_row_trains():
    learner = MetaLearner(Single(ModelShape(("share",), INPUTS, **SMALL)), OLD)
    learner.compile(optimizer="adam")
    row = {
        "categorical": tf.constant([[0, 4, 8]]),
        "numeric": tf.constant([[0.5, 1.0]]),
        LABELS: tf.constant([[1.0, 0.0]]),
    }
    logs = learner.train_step(row)
    assert np.isfinite(logs["loss"])
    assert all(np.isfinite(weight).all() for weight in learner.backbone.trainable_variables)


def test_xla_compiles_what_has_static_shapes_only():
    bags = (*INPUTS, InputShape("bags", 1, rows=5))
    for inputs, fixed in ((INPUTS, True), (bags, False)):
        model = Single(ModelShape(("share",), inputs, **SMALL))
        assert MetaLearner(model, OLD).fixed_shapes is fixed


class KilledError(Exception):
    """Stands in for the end of a process."""


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


def train_share(data, directory, meta=None):
    training = TrainingConfig(epochs=2, batch_size=128, learning_rate=0.01)
    config = PretrainingConfig(("share",), "single", SMALL, training=training)
    context = RunContext(str(directory), show_progress=False)
    return pretrain(data, config, context, begin=meta and meta.begin)


def make_meta(data):
    rows = [load_rows(data, split, ("click", "like")) for split in ("train", "validation")]
    return MetaLearning(data.spec.select_tasks(("click", "like")), *rows)


def test_a_killed_training_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    meta = make_meta(data)
    whole, result = train_share(data, tmp_path / "whole", meta)
    scores = [log["val_auc/click"] for log in meta.result.history]
    assert scores[1] > scores[0]
    assert scores[1] > 0.6
    assert len(result.history) == 2
    run, started = loop.run, []

    def die(job, config, context):
        started.append(len(job.tasks))
        if started == [2, 1]:
            raise KilledError
        return run(job, config, context)

    monkeypatch.setattr(loop, "run", die)
    with pytest.raises(KilledError):
        train_share(data, tmp_path / "killed", make_meta(data))
    again = make_meta(data)
    continued, _ = train_share(data, tmp_path / "killed", again)
    assert again.result.steps == 0  # the first weights were there already
    for name, weight in whole.named_weights().items():
        np.testing.assert_array_equal(weight, continued.named_weights()[name], name)
    fresh, _ = train_share(data, tmp_path / "fresh")
    assert not np.array_equal(
        fresh.named_weights()["experts/kernel_0"], whole.named_weights()["experts/kernel_0"]
    )
    with pytest.raises(InputError, match=r"other settings .*meta_learning"):
        train_share(data, tmp_path / "fresh", make_meta(data))


def test_tasks_with_several_logits_are_rejected(train):
    classes = ClassesTask("stars", "stars", values=("1", "2", "3"))
    with pytest.raises(InputError, match=r"'stars' has several logits .* leave it out"):
        MetaLearning([classes], train, train)
