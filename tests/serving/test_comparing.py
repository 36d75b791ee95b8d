import types

import numpy as np
import pytest

from mptrec_tf.datasets.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.serving.comparing import compare
from mptrec_tf.spec import DatasetSpec, Numeric, Task


def answering(name, answers, tasks=("buy",)):
    """A model that answers `answers` in turn."""
    spec = DatasetSpec(
        name="shop",
        categorical=(),
        numeric=(Numeric("price"),),
        tasks=tuple(Task(task, f"{task}_label", ("1",), ("0",)) for task in tasks),
    )
    rows = iter(np.array(answers, np.float32).T)

    def predict(block):
        values = np.array([next(rows) for _ in range(len(block))]).reshape(len(block), -1)
        return {task: values[:, i] for i, task in enumerate(tasks)}

    return types.SimpleNamespace(path=name, spec=spec, predict=predict)


def blocks(*sizes, **columns):
    start = 0
    for size in sizes:
        yield Block(
            {name: np.array(v[start : start + size], object) for name, v in columns.items()},
            "rows.csv",
            np.arange(start + 2, start + size + 2),
        )
        start += size


LABELS = ["0", "1", "0", "1"]


def test_differences_by_hand():
    a = answering("a", [[0.1, 0.2, 0.3, 0.4]])
    b = answering("b", [[0.1, 0.3, 0.2, 0.9]])
    seen = []
    found = compare(a, b, blocks(3, 0, 1, buy_label=LABELS), seen.append)["buy"]
    assert seen == [3, 1]
    assert (found["rows"], found["identical"], found["differing"]) == (4, False, 3)
    assert found["largest"] == pytest.approx(0.5)
    assert found["where"] == "rows.csv, line 5"
    assert found["rank_correlation"] == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    # Pairs of a positive (2nd, 4th) and a negative (1st, 3rd) in the right order: 3 of 4, 4 of 4.
    assert (found["auc_a"], found["auc_b"]) == (0.75, 1.0)


def test_equal_values_share_their_rank():
    a = answering("a", [[0.1, 0.1, 0.3]])  # ranks 1.5 1.5 3
    b = answering("b", [[0.1, 0.2, 0.3]])
    found = compare(a, b, blocks(3, price=[1, 2, 3]))["buy"]
    assert found["rank_correlation"] == pytest.approx(np.sqrt(0.75))
    assert found["auc_a"] is None  # no labels


def test_the_same_answers_are_identical():
    same = [[0.25, 0.5]]
    found = compare(answering("a", same), answering("b", same), blocks(2, price=[1, 2]))["buy"]
    assert found["identical"]
    assert (found["differing"], found["largest"], found["where"]) == (0, 0.0, None)


def test_the_last_bit_counts():
    value = np.float32(0.3)
    near = np.nextafter(value, np.float32(1))
    a, b = answering("a", [[value, 0.5]]), answering("b", [[near, 0.5]])
    found = compare(a, b, blocks(2, price=[1, 2]))["buy"]
    assert (found["identical"], found["differing"]) == (False, 1)
    assert 0 < found["largest"] < 1e-7


def test_a_model_that_says_the_same_of_all_rows_has_no_ranks():
    a, b = answering("a", [[0.5, 0.5]]), answering("b", [[0.1, 0.2]])
    assert compare(a, b, blocks(2, price=[1, 2]))["buy"]["rank_correlation"] is None


def test_one_class_alone_has_no_auc():
    same = [[0.25, 0.5]]
    found = compare(answering("a", same), answering("b", same), blocks(2, buy_label=["1", "1"]))
    assert found["buy"]["auc_a"] is None


def test_tasks_of_one_model_are_named():
    a = answering("a", [[0.1], [0.2]], ("buy", "like"))
    b = answering("b", [[0.2], [0.3]], ("like", "share"))
    found = compare(a, b, blocks(1, price=[1]))
    assert list(found) == ["buy", "like", "share"]
    assert found["buy"] == {"only_in": "a"}
    assert found["share"] == {"only_in": "b"}
    assert found["like"]["identical"]


def test_nothing_to_compare_is_an_error():
    a, b = answering("a", [[0.1]]), answering("b", [[0.1]], ("like",))
    with pytest.raises(InputError, match="a answers buy, b like: they have no task in common"):
        compare(a, b, blocks(1, price=[1]))
    with pytest.raises(InputError, match="the input has no rows"):
        compare(a, a, blocks(0, price=[]))


def test_a_row_that_does_not_fit_is_named(model, block, change_column):
    bad = change_column(block, "user_age", ["old", *block.columns["user_age"][1:]])
    with pytest.raises(InputError, match="'old' is not a finite number"):
        compare(model, model, [bad])
