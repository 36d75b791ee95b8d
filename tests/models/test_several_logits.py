"""Tasks of several logits beside tasks of one: models, heads, banks, losses and predictions."""

import dataclasses
import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.slices import make_slices, split_predictions, spread_over_logits
from mptrec_tf.layers.banks import TowerBank
from mptrec_tf.layers.stable_ops import apply_in_whole_vectors
from mptrec_tf.models.encoded import Encoded, HeadInputs, InputExperts, Layout, Standardized
from mptrec_tf.models.heads.base import Head, HeadOutputs, make_banks
from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.task_outputs import task_losses, task_predictions, unstack_predictions
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.models.weights import named_weights
from mptrec_tf.storage.plain import from_plain, to_plain
from mptrec_tf.training.calibration import list_rescaling, rescale_head


@dataclasses.dataclass(frozen=True)
class SpreadTask(Task):
    """A number by two logits or more: their largest and their smallest, which is the prediction."""

    kind = "spread"
    count: int = 3

    @property
    def logits(self):
        return self.count

    @property
    def outputs(self):
        return 2

    @property
    def output_names(self):
        return ("least", "most")

    def label_of(self, value, missing_values):
        return float(value)

    @classmethod
    def losses(cls, tasks, logits, labels):
        parts = tf.split(logits, [task.count for task in tasks])
        sums = tf.stack([tf.reduce_sum(part, axis=0) for part in parts])
        return (sums - tf.transpose(labels)) ** 2

    @classmethod
    def predictions(cls, tasks, logits):
        parts = tf.split(logits, [task.count for task in tasks])
        both = [f(part, axis=0) for part in parts for f in (tf.reduce_min, tf.reduce_max)]
        return tf.stack(both)


A, B, C, D = (
    SpreadTask("a", "a", count=2),
    BinaryTask("b", "b", "1"),
    SpreadTask("c", "c", count=3),
    BinaryTask("d", "d", "1"),
)
ALL = [A, B, C, D]  # logits 2 + 1 + 3 + 1
Z = np.array([[1, 2], [3, 5], [0, -1], [4, 4], [1, 2], [0, 9], [2, 0.5]], np.float32)


def test_slices_by_hand():
    assert make_slices([2, 1, 3]) == [slice(0, 2), slice(2, 3), slice(3, 6)]
    parts = split_predictions(ALL, np.arange(12.0).reshape(2, 6))
    expected = ([[0, 1], [6, 7]], [2, 8], [[3, 4], [9, 10]], [5, 11])
    for part, of in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, of)
    assert spread_over_logits(C, 2.0) == [2.0] * 3
    assert spread_over_logits(C, [1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    scale, shift = list_rescaling(ALL, [None, (2.0, 3.0), (4.0, [5.0, 6.0, 7.0]), None])
    assert scale == [1, 1, 2, 4, 4, 4, 1]
    assert shift == [0, 0, 3, 5, 6, 7, 0]


def test_losses_and_predictions_by_hand():
    labels = tf.constant([[1.0, 0, 2, 1], [0, 1, 3, 0]])
    entropy = [np.log(2), np.log1p(np.e)], [np.log1p(np.exp(-2)), np.log1p(np.exp(0.5))]
    expected = [[(4 - 1) ** 2, 7**2], entropy[0], [(5 - 2) ** 2, (15 - 3) ** 2], entropy[1]]
    np.testing.assert_allclose(task_losses(ALL, tf.constant(Z), labels), expected, rtol=1e-6)
    predictions = task_predictions(ALL, tf.constant(Z))
    sigmoid = 1 / (1 + np.exp(-Z[[2, 6]].astype(np.float64)))
    expected = [[1, 2], [3, 5], sigmoid[0], [0, 2], [4, 9], sigmoid[1]]
    np.testing.assert_allclose(predictions, expected, rtol=1e-6)
    by_task = unstack_predictions(ALL, predictions)
    assert {name: tuple(of.shape) for name, of in by_task.items()} == {
        "a": (2, 2),
        "b": (2,),
        "c": (2, 2),
        "d": (2,),
    }
    np.testing.assert_array_equal(by_task["c"], [[0, 4], [2, 9]])
    columns = C.prediction_columns(by_task["c"].numpy())
    assert {name: of.tolist() for name, of in columns.items()} == {
        "c:least": [0, 2],
        "c:most": [4, 9],
    }
    assert list(B.prediction_columns(np.zeros(2))) == ["b"]
    assert C.show_prediction(by_task["c"].numpy()[1]) == "most: 9.0000"
    assert B.show_prediction(np.float32(0.5)) == 0.5


# Towers.


def test_towers_of_several_sizes_are_towers_alone():
    bank = TowerBank(4, (3,), logits=(2, 1, 3, 1))
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 5, 6)).astype(np.float32)
    assert bank(x).shape == (7, 5)
    for weight in bank.weights:
        weight.assign(rng.normal(size=weight.shape))
    w = {of.name.split("/")[-1].split(":")[0]: of.numpy().astype(np.float64) for of in bank.weights}
    names = ("0", "1_logits_1", "1_logits_2", "1_logits_3")
    assert sorted(w) == [f"{what}_{name}" for what in ("bias", "kernel") for name in names]
    rows = []
    for tower, (size, place) in enumerate(((2, 0), (1, 0), (3, 0), (1, 1))):
        h = np.maximum(x[tower] @ w["kernel_0"][tower] + w["bias_0"][tower], 0)
        end = f"1_logits_{size}"
        rows.append((h @ w[f"kernel_{end}"][place] + w[f"bias_{end}"][place]).T)
    before = np.concatenate(rows)
    np.testing.assert_allclose(bank(x), before, rtol=1e-4, atol=1e-5)
    scale, shift = np.arange(1, 8) / 2, np.arange(7) - 3.0
    bank.rescale(scale, shift)
    expected = scale[:, None] * before + shift[:, None]
    np.testing.assert_allclose(bank(x), expected, rtol=1e-4, atol=1e-5)
    copy = TowerBank.from_config(json.loads(json.dumps(bank.get_config())))
    assert copy.logits == bank.logits
    assert "logits" not in TowerBank(2, (3,)).get_config()


def test_a_tower_without_logits_is_rejected():
    for logits in ((1,), (1, 0), (1, 1, 1)):
        with pytest.raises(ValueError, match="a positive number for each of 2 towers"):
            TowerBank(2, (3,), logits=logits)


# Models.


def test_a_shape_of_one_logit_each_is_stored_as_before(shape):
    one, several = shape(task_logits=(1, 1, 1)), shape(task_logits=(1, 4, 1))
    assert one == shape()
    assert (one.logits, several.logits) == (3, 6)
    assert "task_logits" not in to_plain(one)
    assert from_plain(type(one), json.loads(json.dumps(to_plain(one)))) == one
    assert from_plain(type(one), json.loads(json.dumps(to_plain(several)))) == several
    with pytest.raises(ValueError, match="task_logits should be a number for each of 3 tasks"):
        shape(task_logits=(1, 2))


@pytest.mark.parametrize("kind", MODELS.names())
def test_every_model_has_the_logits_of_its_tasks(backbone, batch, kind):
    model = backbone(("a", "b", "c"), kind, task_logits=(2, 1, 3))
    inputs = batch()
    before = model(inputs).numpy()
    assert before.shape == (6, 6)
    encoded = model.encode(inputs)
    logits = model.predict_tasks(encoded).logits
    assert model.layout.logits == model.head_inputs(encoded).standard.logits.shape[1] == 6
    packed = model.layout.pack(encoded, logits)
    assert packed.shape[1] == sum(model.layout.sizes)
    _, unpacked = model.layout.unpack(packed, encoded.ids)
    np.testing.assert_array_equal(unpacked, logits)
    scale, shift = np.array([1, 2, 0.5, 3, 1, 1.5]), np.arange(6) - 2.0
    model.rescale(scale, shift)
    np.testing.assert_allclose(model(inputs), scale * before + shift, rtol=1e-4, atol=1e-5)
    copy = type(model).from_config(json.loads(json.dumps(model.get_config())))
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(inputs), model(inputs))
    trainer = Trainer(model, ALL[:3])
    report = trainer.report(inputs)
    assert report["prediction"].shape == trainer(inputs).shape == (6, 5)
    assert np.isfinite(trainer.compute_loss(inputs))


def test_a_model_that_ignores_the_number_of_logits_is_rejected(shape):
    class OneEach(MODELS.get("shared_bottom").model_class):
        def predict_tasks(self, encoded, training=None):
            outputs = super().predict_tasks(encoded, training)
            return outputs._replace(logits=outputs.logits[: len(self.shape.tasks)])

    with pytest.raises(ValueError, match=r"should return 4 logits for the tasks click, like, buy"):
        OneEach(shape(kind="shared_bottom", task_logits=(1, 2, 1)))
    assert isinstance(shape(kind="shared_bottom"), ModelShape)


# Heads and banks.

LAYOUT = Layout(
    23, shared=1, specific=3, width=16, tasks=3, ids=5, more_logits=2, experts=2, expert_units=(16,)
)
RANGES = ((0, 0, 7), (1, 7, 13), (2, 20, 9))
LAYERS = (
    "prompt",
    "residual",
    "tower",
    "own_expert",
    "lora",
    "own_embedding",
)  # the other kinds share one of theirs


def make(kind, number, logits):
    """A head with random weights."""
    head = make_head(HEADS.get(kind).make_shape(RANGES), LAYOUT, f"{kind}_{number}", logits)
    rng = np.random.default_rng(number)
    for name, weight in named_weights(head).items():
        weight.assign(rng.uniform(0.2 if name == "query/scale" else -0.5, 0.5, weight.shape))
    return head


def make_inputs(rows):
    rng = np.random.default_rng(rows)
    sizes = ((rows, 23), (1, rows, 16), (3, rows, 16), (5, rows), (3, 16))
    sizes += ((rows, 23), (rows, 16), (rows, 16), (rows, 5))
    x, shared, specific, logits, prompts, *standard = (
        tf.constant(rng.normal(size=size).astype(np.float32)) for size in sizes
    )
    ids = tf.constant(rng.integers([0, 7, 20], [7, 20, 29], (rows, 3)))
    encoded = Encoded(x, ids, shared, specific)
    kernel, bias = (rng.normal(size=size).astype(np.float32) for size in ((2, 23, 16), (2, 1, 16)))
    experts = InputExperts((tf.constant(kernel),), (tf.constant(bias),))
    return HeadInputs(encoded, prompts, logits, Standardized(*standard), experts)


def predict(bank, inputs):
    return apply_in_whole_vectors(tf.sigmoid, bank(inputs))


@pytest.mark.parametrize("kind", LAYERS)
def test_banks_of_several_logits(kind):
    inputs = make_inputs(21)
    prompts = inputs.prompts.numpy()
    several = {f"s{n}": make(kind, n, 3) for n in range(4)}
    [bank] = make_banks(several, prompts)
    logits = bank(inputs)
    assert (bank.tasks, logits.shape) == (tuple(several), (12, 21))
    for n, head in enumerate(several.values()):
        alone = head(inputs).logits
        assert alone.shape == (3, 21)
        np.testing.assert_allclose(logits[3 * n : 3 * n + 3], alone, rtol=1e-4, atol=2e-5)
    # Others that come and go change no bit, be they of one logit or of several.
    whole = predict(bank, inputs)
    [alone] = make_banks({"s1": several["s1"]}, prompts)
    np.testing.assert_array_equal(predict(alone, inputs), whole[3:6])
    ones = {f"o{n}": make(kind, 10 + n, 1) for n in range(2)}
    of_ones, again = make_banks(ones | several, prompts)
    [without] = make_banks(ones, prompts)
    np.testing.assert_array_equal(predict(of_ones, inputs), predict(without, inputs))
    np.testing.assert_array_equal(predict(again, inputs), whole)
    assert of_ones(inputs).shape == (2, 21)


@pytest.mark.parametrize("kind", LAYERS)
def test_heads_of_several_logits_are_rescaled_and_copied(kind):
    inputs = make_inputs(5)
    head = make(kind, 1, 3)
    before = head(inputs).logits.numpy()
    copy = type(head).from_config(json.loads(json.dumps(head.get_config())))
    copy.set_weights(head.get_weights())
    np.testing.assert_array_equal(copy(inputs).logits, before)
    rescale_head(head, (2.0, [0.5, -1.0, 0.0]))
    expected = 2 * before + np.array([[0.5], [-1.0], [0.0]])
    np.testing.assert_allclose(head(inputs).logits, expected, rtol=1e-4, atol=1e-5)
    assert "logits" not in make(kind, 1, 1).get_config()


def test_new_tasks_of_several_logits_beside_others(backbone, batch):
    inputs = batch(tasks=2)
    model = PromptedMPTRec(backbone())
    model.add_task(B)
    alone = model(inputs)["b"]
    model.add_task(C)
    predictions = model(inputs)
    assert {k: tuple(v.shape) for k, v in predictions.items()} == {"b": (6,), "c": (6, 2)}
    np.testing.assert_array_equal(predictions["b"], alone)
    report = model.report(inputs)
    assert report["prediction"].shape == (6, 3)
    assert report["gate"].shape == (6, 2)
    np.testing.assert_allclose(report["prediction"][:, 1:], predictions["c"], rtol=1e-5, atol=1e-6)
    assert np.isfinite(model.compute_loss(inputs))


class OneLogitHead(Head):
    shape_class = type("Config", (), {})

    def call(self, inputs, training=None):
        return HeadOutputs(inputs.standard.x[:, 0], {})

    def rescale(self, scale, shift):
        raise NotImplementedError


def test_a_head_that_ignores_the_number_of_logits_is_rejected(backbone, batch):
    model = backbone()
    head = OneLogitHead(None, model.layout, 3)
    prompted = PromptedMPTRec(model, {"c": NewTask(C, head)})
    with pytest.raises(ValueError, match=r"OneLogitHead should return 3 logits for task 'c'"):
        prompted(batch())
    assert HeadKind(dict, OneLogitHead).layer_class is OneLogitHead
