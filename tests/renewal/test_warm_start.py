"""Weights that a new backbone begins with: by value, whatever its id is now."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import os

import numpy as np
import pytest

from mptrec_tf.data.prepare import prepare
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.single import Single
from mptrec_tf.renewal.plan import make_plan
from mptrec_tf.renewal.warm_start import (
    carry_rows,
    carry_task_rows,
    carry_weights,
    list_table_meanings,
)

SMALL = {"expert_units": (6, 4), "tower_units": (3,)}


@pytest.fixture(scope="module")
def renewed(trained, month, open_rows, tmp_path_factory):
    """The old backbone, the rows of the next month, and its plan."""
    plan = make_plan(str(trained), promote=["share"])
    folder = tmp_path_factory.mktemp("warm") / "data"
    data = prepare(open_rows(month(1), plan.spec), str(folder))
    return load_parts(str(trained))[0], data, plan


def make_model(data, plan, tasks=("click", "like")):
    config = dataclasses.replace(plan.pretraining, tasks=tasks)
    return MODELS.get("mptrec").make(config.make_shape(data))


def test_rows_follow_their_meaning_by_hand():
    before = [("a", "x"), ("a", "y"), ("a", 0), ("b", 0), ("b", 1)]
    known = np.array([[1, 10], [2, 20], [6, 60], [7, 70], [9, 90]], np.float32)
    after = [("a", "y"), ("a", "new"), ("a", 0), ("b", 1), ("b", 2), ("c", 0)]
    fresh = np.full((6, 2), 0.5, np.float32)
    begun = carry_rows(known, before, fresh, after)
    expected = [[2, 20], [3, 30], [6, 60], [9, 90], [8, 80], [0.5, 0.5]]
    np.testing.assert_array_equal(begun, np.array(expected, np.float32))
    assert begun.dtype == np.float32
    other_width = np.zeros((6, 3), np.float32)
    assert carry_rows(known, before, other_width, after) is other_width


def find_rows(model, spec, transform_dir, table, column):
    """The rows of one column of a table, by what they stand for."""
    meanings = list_table_meanings(model, spec, transform_dir)[table]
    return {m[1]: row for row, m in enumerate(meanings) if m[0].partition("\t")[0] == column}


@pytest.mark.parametrize(
    ("table", "column", "known", "new"),
    [
        ("embedding/table", "user", "u15", "u35"),  # unknown values are told apart: 3 rows
        ("embedding_6/table", "item", "i3", None),  # a width of its own: another table
        ("embedding/table", "place", 4, None),  # hashed: buckets keep their meaning
        ("bags/table", "tags", "t5", None),
    ],
)
def test_known_values_keep_their_embeddings_and_new_ones_begin_at_the_mean(
    renewed, table, column, known, new
):
    old, data, plan = renewed
    model = make_model(data, plan)
    values = carry_weights(old, model, data)
    before = old.model.named_weights()[table].numpy()
    old_rows = find_rows(old.model, old.spec, old.transform_dir, table, column)
    new_rows = find_rows(model, data.spec, data.transform_dir, table, column)
    np.testing.assert_array_equal(values[table][new_rows[known]], before[old_rows[known]])
    if new is not None:
        assert new not in old_rows
        assert new_rows[known] != old_rows[known]  # a row by its number would be another user's
        mean = before[list(old_rows.values())].mean(axis=0)
        np.testing.assert_allclose(values[table][new_rows[new]], mean, rtol=1e-6)


def test_everything_else_is_as_it_was(renewed):
    old, data, plan = renewed
    values = carry_weights(old, make_model(data, plan), data)
    known = {name: weight.numpy() for name, weight in old.model.named_weights().items()}
    assert values.keys() == known.keys()
    same = [name for name in known if not name.endswith("/table")]
    assert "experts/kernel_0" in same
    for name in same:
        np.testing.assert_array_equal(values[name], known[name], name)


def test_vocabularies_that_shrank_to_nothing(renewed, month, open_rows, tmp_path):
    old, _, plan = renewed
    few = [
        dataclasses.replace(f, min_count=9999) if f.name in {"user", "item", "tags"} else f
        for f in plan.spec.features
    ]
    spec = dataclasses.replace(plan.spec, features=tuple(few))
    data = prepare(open_rows(month(1), spec), str(tmp_path / "data"))
    model = make_model(data, plan)
    assert len(find_rows(model, spec, data.transform_dir, "embedding_6/table", "item")) == 1
    values = carry_weights(old, model, data)
    assert np.isfinite(values["bags/table"]).all()


def test_a_promoted_task_has_fresh_weights_after_those_of_the_old_ones(renewed):
    old, data, plan = renewed
    model = make_model(data, plan, ("click", "like", "share"))
    values = carry_weights(old, model, data)
    known = old.model.named_weights()["towers/kernel_0"].numpy()
    tower = values["towers/kernel_0"]
    np.testing.assert_array_equal(tower[:2], known)
    np.testing.assert_array_equal(tower[2], model.named_weights()["towers/kernel_0"].numpy()[2])


def test_weights_follow_their_tasks_when_one_is_retired(renewed):
    old, data, plan = renewed
    model = make_model(data, plan, ("like", "share"))
    values = carry_weights(old, model, data)
    known, fresh = old.model.named_weights(), model.named_weights()
    for name, row, of_like in (
        ("towers/kernel_0", 0, 1),
        ("prompts/prompts", 0, 1),
        ("experts/kernel_0", 0, 0),  # the shared one
        ("experts/kernel_0", 1, 2),
    ):
        np.testing.assert_array_equal(values[name][row], known[name].numpy()[of_like], name)
    np.testing.assert_array_equal(values["gates/kernel"][:, :2], known["gates/kernel"][:, 2:])
    np.testing.assert_array_equal(values["gates/kernel"][:, 2:], fresh["gates/kernel"][:, 2:])


def test_the_experts_of_tasks_that_come_before_the_shared_ones():
    known, fresh = np.array([[1], [2], [3], [4], [9]]), np.zeros([7, 1], int)
    carried = carry_task_rows(known, fresh, ["a", "b"], ["b", "c", "a"], own=2)
    assert carried.ravel().tolist() == [3, 4, 0, 0, 1, 2, 9]


@pytest.mark.parametrize("tasks", [("click", "like"), ("like", "share")])
def test_tables_of_each_task_are_carried_where_the_tasks_stay(renewed, tasks):
    old, data, _ = renewed
    # `single` in the place of the old model: an embedding for each task, side by side.
    shape = ModelShape(("click", "like"), data.inputs, **SMALL)
    before, after = Single(shape), Single(dataclasses.replace(shape, tasks=tasks))
    of_single = dataclasses.replace(
        old, model=before, spec=data.spec, directory=os.path.dirname(data.transform_dir)
    )
    values = carry_weights(of_single, after, data)
    source = before if tasks == ("click", "like") else after
    for table in ("embedding/table", "bags/table"):
        np.testing.assert_array_equal(values[table], source.named_weights()[table].numpy(), table)
