"""Operations are counted from the graph, and agree with the formula."""

import pytest

import mptrec_tf  # noqa: F401  (before TensorFlow: it selects Keras 2)

import tensorflow as tf  # isort: skip

from mptrec_tf.benchmark.flops import count_flops, count_step_flops, make_specs
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.models.heads.tower_shape import TowerConfig
from mptrec_tf.models.prompted import REPRESENTATIONS, PromptedMPTRec
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.trainer import Plan
from mptrec_tf.training import loop
from mptrec_tf.training.configurations import TrainingConfig

ROWS, WIDTH = 512, 90  # x: 20 features of width 4, and 10 numbers
INPUTS = (InputShape("categorical", 20, rows=300), InputShape("numeric", 10))
UNITS, TOWER = (64, 48), (32,)


@pytest.mark.parametrize("adjoint", [False, True])
def test_batched_products_count_in_every_direction(adjoint):
    """TensorFlow's profiler would count 2 * 3 * 5 * 4 * 4 for the transposed product."""
    shape = [3, 7, 5] if adjoint else [3, 5, 7]
    specs = {"a": tf.TensorSpec(shape), "b": tf.TensorSpec([3, 7, 4])}
    flops, unseen = count_flops(lambda x: tf.matmul(x["a"], x["b"], transpose_a=adjoint), specs)
    assert flops == 3 * 2 * 5 * 7 * 4
    assert unseen == []


def test_other_operations_count_too():
    specs = {"a": tf.TensorSpec([6, 5]), "b": tf.TensorSpec([5, 4])}
    flops, _ = count_flops(lambda x: tf.matmul(x["a"], x["b"]) * 2.0, specs)
    assert flops == 2 * 6 * 5 * 4 + 6 * 4


def test_columns_of_any_number_of_values_have_as_many_as_there_are():
    ragged = tf.RaggedTensor.from_row_splits(tf.ones([3, 4]), [0, 1, 3])
    specs = make_specs({"tags": ragged, "age": tf.ones([2, 5])}, rows=6)  # 9 values

    def multiply(x):
        sums = tf.reduce_sum(x["tags"], axis=1) @ tf.ones([4, 7])  # of each of 6 rows
        return x["tags"].flat_values @ tf.ones([4, 10]), sums, x["age"] @ tf.ones([5, 3])

    flops, _ = count_flops(multiply, specs)
    products = 2 * 9 * 4 * 10 + 2 * 6 * 4 * 7 + 2 * 6 * 5 * 3
    assert products <= flops <= products + 9 * 4  # and the sums


def test_what_nothing_needs_does_not_count():
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x["b"])
            y = tf.matmul(x["a"], x["b"])
        return tape.gradient(y, x["b"])

    specs = {"a": tf.TensorSpec([6, 5]), "b": tf.TensorSpec([5, 4])}
    # The graph holds a^T dy, and what nothing needs: a b, and dy b^T.
    assert count_flops(gradient, specs)[0] == 2 * 5 * 6 * 4


def test_what_is_not_counted_is_named():
    specs = {"a": tf.TensorSpec([6, 5])}
    _, unseen = count_flops(lambda x: tf.einsum("ij,kj->ik", x["a"], x["a"]), specs)
    assert unseen in ([], ["Einsum"])
    inner = tf.function(lambda a: a * 2.0)
    flops, unseen = count_flops(lambda x: inner(x["a"]), specs)
    assert (flops, unseen) == (0, ["PartitionedCall"])


def test_a_training_step_agrees_with_the_formula():
    """Each product costs 2 * rows * weights forwards, for its weights and for its input."""
    kind, tasks = MODELS.get("shared_bottom"), ("a", "b")
    shape = kind.shape(tasks, INPUTS, expert_units=UNITS, tower_units=TOWER)
    model = kind.make(shape)
    kinds = [BinaryTask(name, name, ("1",)) for name in tasks]
    trainer = kind.make_trainer(model, kinds, kind.losses(), Plan(10, 10))
    loop.compile_model(trainer, TrainingConfig(), 1)
    columns = {
        "categorical": tf.zeros([1, 20], tf.int64),
        "numeric": tf.zeros([1, 10]),
        "labels": tf.zeros([1, 2]),
    }
    flops, unseen = count_step_flops(trainer, columns, ROWS)
    assert unseen == []
    expert, tower = WIDTH * 64 + 64 * 48, 48 * 32 + 32
    formula = 3 * 2 * ROWS * (expert + len(tasks) * tower)
    assert formula < flops < 1.06 * formula

    # A head on the frozen model: its input has no gradient, so the first layer costs two thirds.
    prompted = PromptedMPTRec(model)
    task = BinaryTask("new", "new", ("1",))
    prompted.add_task(task, TowerConfig(tower_units=TOWER, tower_dropout=0.0))
    loop.compile_model(prompted, TrainingConfig(), 1)
    columns = {
        REPRESENTATIONS: tf.zeros([1, sum(model.layout.sizes)]),
        "ids": tf.zeros([1, 20], tf.int64),
        "labels": tf.zeros([1, 1]),
    }
    head, _ = count_step_flops(prompted, columns, ROWS)
    first = prompted.heads["new"].trainable_weights[0].shape[-2] * 32
    formula = 2 * ROWS * (2 * first + 3 * 32)
    assert formula < head < 1.06 * formula
