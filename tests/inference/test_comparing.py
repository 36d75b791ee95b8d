import csv
import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.inference.comparing import compare


def make_model(name, predictions, tasks=("buy",)):
    """A model that predicts `predictions` in turn."""
    spec = DatasetSpec(
        name="shop",
        features=(Numeric("price"),),
        tasks=tuple(BinaryTask(task, f"{task}_label", ("1",), ("0",)) for task in tasks),
    )
    rows = iter(np.array(predictions, np.float32).T)

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
    a = make_model("a", [[0.1, 0.2, 0.3, 0.4]])
    b = make_model("b", [[0.1, 0.3, 0.2, 0.9]])
    seen = []
    result = compare(a, b, blocks(3, 0, 1, buy_label=LABELS), seen.append)["buy"]
    assert seen == [3, 1]
    assert (result["rows"], result["identical"], result["differing"]) == (4, False, 3)
    assert result["largest"] == pytest.approx(0.5)
    assert result["where"] == "rows.csv, line 5"
    assert result["rank_correlation"] == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    # Pairs of a positive (2nd, 4th) and a negative (1st, 3rd) in the right order: 3 of 4, 4 of 4.
    assert (result["auc_a"], result["auc_b"]) == (0.75, 1.0)


def test_a_column_of_a_task_may_begin_in_a_later_block():
    """As in JSON lines, whose blocks have it without naming it."""
    a, b = (make_model(name, [[0.1, 0.2, 0.3]]) for name in "ab")
    for model in (a, b):
        tasks = (dataclasses.replace(model.spec.tasks[0], where={"shown": ("yes",)}),)
        model.spec = dataclasses.replace(model.spec, tasks=tasks)
    values = {"buy_label": ["0", "1", "0"], "shown": ["yes", "yes", "no"]}
    make = lambda name: np.array(values[name], object)  # noqa: E731
    columns = Columns(["buy_label"], make, lambda name: name == "shown")
    result = compare(a, b, [Block(columns, "rows.jsonl", np.arange(3))])["buy"]
    assert (result["auc_a"], result["auc_b"]) == (1.0, 1.0)


def test_equal_values_share_their_rank():
    a = make_model("a", [[0.1, 0.1, 0.3]])  # ranks 1.5 1.5 3
    b = make_model("b", [[0.1, 0.2, 0.3]])
    result = compare(a, b, blocks(3, price=[1, 2, 3]))["buy"]
    assert result["rank_correlation"] == pytest.approx(np.sqrt(0.75))
    assert result["auc_a"] is None  # no labels


def test_the_same_predictions_are_identical():
    same = [[0.25, 0.5]]
    result = compare(make_model("a", same), make_model("b", same), blocks(2, price=[1, 2]))["buy"]
    assert result["identical"]
    assert (result["differing"], result["largest"], result["where"]) == (0, 0.0, None)


def test_the_last_bit_counts():
    value = np.float32(0.3)
    near = np.nextafter(value, np.float32(1))
    a, b = make_model("a", [[value, 0.5]]), make_model("b", [[near, 0.5]])
    result = compare(a, b, blocks(2, price=[1, 2]))["buy"]
    assert (result["identical"], result["differing"]) == (False, 1)
    assert 0 < result["largest"] < 1e-7


def test_a_model_that_predicts_the_same_for_all_rows_has_no_ranks():
    a, b = make_model("a", [[0.5, 0.5]]), make_model("b", [[0.1, 0.2]])
    assert compare(a, b, blocks(2, price=[1, 2]))["buy"]["rank_correlation"] is None


def test_one_class_alone_has_no_auc():
    same = [[0.25, 0.5]]
    result = compare(make_model("a", same), make_model("b", same), blocks(2, buy_label=["1", "1"]))
    assert result["buy"]["auc_a"] is None


def test_tasks_of_one_model_are_named():
    a = make_model("a", [[0.1], [0.2]], ("buy", "like"))
    b = make_model("b", [[0.2], [0.3]], ("like", "share"))
    result = compare(a, b, blocks(1, price=[1]))
    assert list(result) == ["buy", "like", "share"]
    assert result["buy"] == {"only_in": "a"}
    assert result["share"] == {"only_in": "b"}
    assert result["like"]["identical"]


def test_nothing_to_compare_is_an_error():
    a, b = make_model("a", [[0.1]]), make_model("b", [[0.1]], ("like",))
    with pytest.raises(InputError, match="a predicts buy, b like: they have no task in common"):
        compare(a, b, blocks(1, price=[1]))
    with pytest.raises(InputError, match="the input has no rows"):
        compare(a, a, blocks(0, price=[]))


def test_a_row_that_does_not_fit_is_named(model, block, change_column):
    bad = change_column(block, "user_age", ["old", *block.columns["user_age"][1:]])
    with pytest.raises(InputError, match="'old' is not a finite number"):
        compare(model, model, [bad])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_prediction_that_is_not_a_number_is_named(value):
    a, b = make_model("v1", [[0.1, 0.2, 0.3]]), make_model("v2", [[0.1, 0.2, value]])
    with pytest.raises(
        InputError,
        match=rf"rows.csv, line 4: v2 predicts {value} for task 'buy', which is not a fin",
    ):
        compare(a, b, blocks(2, 1, buy_label=["0", "1", "1"]))


def test_the_largest_difference_of_all_blocks_counts_and_the_first_of_equal_ones():
    a = make_model("a", [[0.5, 0.5, 0.5, 0.5, 0.5]])
    b = make_model("b", [[0.5, 0.25, 0.75, 0.5, 0.625]])
    result = compare(a, b, blocks(2, 2, 1, price=[1] * 5))["buy"]
    assert (result["largest"], result["where"]) == (0.25, "rows.csv, line 3")


def test_the_program_fails_for_tasks_that_must_be_identical_and_are_not(prepared, block, tmp_path):
    # Version 2 has another head for share, and version 1's for the pre-trained tasks.
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(block.columns)
        writer.writerows(zip(*block.columns.values(), strict=True))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mptrec_tf.bin.compare"),
            f"--a={prepared.folder / '1'}",
            f"--b={prepared.folder / '2'}",
            f"--input={tmp_path / 'rows.csv'}",
            f"--output={tmp_path / 'compared.json'}",
            "--require_identical=click,share",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("error: the two models differ in share.\n")
    with open(tmp_path / "compared.json") as file:
        tasks = json.load(file)["tasks"]
    assert {task: result["identical"] for task, result in tasks.items()} == {
        "click": True,
        "like": True,
        "share": False,
    }
    assert tasks["share"]["largest"] > 0
    assert f" {tasks['share']['largest']:.3g} " in done.stdout
    assert tasks["share"]["where"].startswith(f"{tmp_path / 'rows.csv'}, line ")
    assert tasks["click"]["auc_a"] == tasks["click"]["auc_b"]
    assert tasks["share"]["auc_a"] != tasks["share"]["auc_b"]
