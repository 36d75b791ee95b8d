import csv
import dataclasses
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.sources.bad_rows import NOT_A_NUMBER, BadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.tabular import read_file
from mptrec_tf.data.sources.text_columns import TextRows
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError
from mptrec_tf.inference.rejects import open_rejects
from mptrec_tf.inference.scoring import evaluate, predict_file


class InBlocks:
    """A source of one split, from blocks that are there already."""

    def __init__(self, spec, blocks):
        self.spec = spec
        self._blocks = blocks

    def shards(self, split):
        return [0] if split == "test" else []

    def read(self, shard):
        yield from self._blocks

    def estimated_rows(self, split):
        return 0


@pytest.fixture
def blocks(block, slice_rows):
    """Three blocks, one of them without rows."""
    return [slice_rows(block, *ends) for ends in ((0, 120), (120, 120), (120, 300))]


def weighted(model, **changes):
    """The model, with another spec of the same columns."""
    other = object.__new__(type(model))
    other.__dict__.update(model.__dict__, spec=dataclasses.replace(model.spec, **changes))
    return other


def test_evaluation_is_that_of_the_predictions(model, block, blocks):
    seen = []
    metrics = evaluate(model, InBlocks(model.spec, blocks), "test", on_rows=seen.append)
    assert sum(seen) == 300
    predicted = model.predict(block)
    assert list(metrics) == ["click", "like", "share"]
    for task, values in metrics.items():
        labels = block.columns[task]
        assert (values["rows"], values["positives"]) == (300, labels.sum())
        assert values["auc"] == pytest.approx(roc_auc_score(labels, predicted[task]))
        assert values["log_loss"] == pytest.approx(log_loss(labels, predicted[task].astype(float)))
        assert values["calibration"] == pytest.approx(predicted[task].mean() / labels.mean())
        assert values["best_auc"] == pytest.approx(
            roc_auc_score(labels, block.columns[f"probability_{task}"])
        )


def test_weights_and_users_count(model, block, blocks):
    source = InBlocks(model.spec, blocks)
    # Any column of non-negative numbers may weigh rows.
    other = weighted(model, weight="item_freshness_weight", user_id="user_segment")
    heavy = InBlocks(other.spec, [with_weight(b) for b in blocks])
    values = evaluate(other, heavy, "test", ["click"])
    weight = with_weight(block).columns["item_freshness_weight"]
    labels, predicted = block.columns["click"], model.predict(block)["click"].astype(float)
    actual = values["click"]
    assert actual["auc"] == pytest.approx(roc_auc_score(labels, predicted, sample_weight=weight))
    assert actual["log_loss"] == pytest.approx(log_loss(labels, predicted, sample_weight=weight))
    assert actual["calibration"] == pytest.approx(
        np.average(predicted, weights=weight) / np.average(labels, weights=weight)
    )
    bins = np.minimum((predicted * 10).astype(int), 9)
    gaps = [abs((weight * (predicted - labels))[bins == i].sum()) for i in range(10)]
    assert actual["ece"] == pytest.approx(sum(gaps) / weight.sum())
    assert actual["auc"] != evaluate(source=source, model=model, split="test")["click"]["auc"]
    aucs, rows = [], []
    for segment in set(block.columns["user_segment"]):
        mine = block.columns["user_segment"] == segment
        if 0 < labels[mine].sum() < mine.sum():
            aucs.append(roc_auc_score(labels[mine], predicted[mine]))
            rows.append(mine.sum())
    assert len(aucs) > 1
    assert actual["grouped_auc"] == pytest.approx(np.average(aucs, weights=rows))


def with_weight(block):
    weight = 1 + 3 * block.columns["item_freshness"].astype(np.float32)
    return dataclasses.replace(block, columns={**block.columns, "item_freshness_weight": weight})


def test_weights_that_are_all_zero_are_rejected(model, block, change_column):
    blocks = [change_column(block, "w", np.zeros(300))]
    other = weighted(model, weight="w")
    with pytest.raises(InputError, match="column 'w' weighs all test rows 0"):
        evaluate(other, InBlocks(other.spec, blocks), "test")


@pytest.mark.parametrize("changes", [{"user_id": None}, {"weight": "w"}])
def test_another_spec_than_the_models_is_rejected(model, blocks, changes):
    spec = dataclasses.replace(model.spec, **changes)
    (name,) = changes
    with pytest.raises(InputError, match=f"defines {name} in another way than the model in"):
        evaluate(model, InBlocks(spec, blocks), "test")


def test_another_label_than_the_models_is_rejected(model, blocks):
    click, *others = model.spec.tasks
    tasks = (dataclasses.replace(click, positive=("0",), negative=("1",)), *others)
    source = InBlocks(dataclasses.replace(model.spec, tasks=tasks), blocks)
    with pytest.raises(InputError, match="defines click in another way"):
        evaluate(model, source, "test")


def test_evaluation_rejects_what_it_cannot_read(model, block, blocks, change_column):
    source = InBlocks(model.spec, blocks)
    with pytest.raises(InputError, match="unknown task 'clack'"):
        evaluate(model, source, "test", ["click", "clack"])
    with pytest.raises(InputError, match="has no train rows"):
        evaluate(model, source, "train")
    with pytest.raises(InputError, match="has no test rows"):
        evaluate(model, InBlocks(model.spec, [blocks[1]]), "test")
    with pytest.raises(InputError, match="no column 'like'"):
        evaluate(model, InBlocks(model.spec, [change_column(block, "like", None)]), "test")


def test_predictions_stand_in_the_order_of_the_rows(
    model, block, blocks, tmp_path, read_predictions
):
    output = tmp_path / "predictions.csv"
    seen = []
    summary = predict_file(model, iter(blocks), str(output), seen.append)
    written, predicted = read_predictions(output), model.predict(block)
    assert list(written) == list(summary) == ["click", "like", "share"]
    for task, values in written.items():
        # Another batch size may change the last bit.
        np.testing.assert_allclose(values, predicted[task], rtol=1e-5)
        assert summary[task]["rows"] == sum(seen) == 300
        assert summary[task]["lowest"] == pytest.approx(values.min())
        assert summary[task]["mean"] == pytest.approx(values.mean())
        assert summary[task]["highest"] == pytest.approx(values.max())


@pytest.mark.parametrize("given", ["nothing", "empty block"])
def test_an_input_without_rows_harms_nothing(model, blocks, tmp_path, given):
    output = tmp_path / "predictions.csv"
    output.write_text("from an earlier run")
    with pytest.raises(InputError, match="the input has no rows"):
        predict_file(model, [] if given == "nothing" else [blocks[1]], str(output))
    assert output.read_text() == "from an earlier run"
    assert os.listdir(tmp_path) == ["predictions.csv"]


def test_a_bad_row_late_in_the_input_harms_nothing(model, block, blocks, tmp_path, change_column):
    output = tmp_path / "predictions.csv"
    output.write_text("from an earlier run")
    prices = block.columns["item_price"].copy()
    prices[299] = np.nan
    with pytest.raises(InputError, match="row 300, column 'item_price': 'nan'"):
        predict_file(model, [*blocks, change_column(block, "item_price", prices)], str(output))
    assert output.read_text() == "from an earlier run"
    assert os.listdir(tmp_path) == ["predictions.csv"]


def test_an_output_that_cannot_be_written_is_named(model, block, tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*none/predictions\.csv"):
        predict_file(model, [block], str(tmp_path / "none" / "predictions.csv"))


def test_rows_of_a_file_with_other_columns_besides(model, block, tmp_path):
    more = Block({**block.columns, "other": block.columns["hour"]}, "rows.csv", block.lines)
    assert predict_file(model, [more], str(tmp_path / "p.csv"))["click"]["rows"] == 300


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_columns_to_keep_come_first_and_unchanged(model, block, blocks, tmp_path):
    output = str(tmp_path / "p.csv")
    odd = ["007", "", ' a,"b" ', "1e3", "two\nlines", "a\rb", "ä", "\t"]
    users = np.array([odd[i % 8] for i in range(300)], object)
    more = dataclasses.replace(block, columns={**block.columns, "my user": users})
    predict_file(model, [more], output, tasks=["like"], keep=["my user", "share", "hour"])
    header, *rows = read_rows(output)
    assert header == ["my user", "share", "hour", "like"]
    assert [row[0] for row in rows] == users.tolist()
    assert [row[1] for row in rows] == [str(value) for value in block.columns["share"]]
    assert [row[2] for row in rows] == [str(value) for value in block.columns["hour"]]
    predict_file(model, [block], str(tmp_path / "plain.csv"))
    expected = [row[1] for row in read_rows(tmp_path / "plain.csv")[1:]]
    assert [row[3] for row in rows] == expected


def test_numbers_to_keep_have_their_decimal_comma(model, block, tmp_path):
    prices = [str(value).replace(".", ",") for value in block.columns["item_price"]]
    more = dataclasses.replace(block, written={"item_price": pa.array(prices)})
    predict_file(model, [more], str(tmp_path / "p.csv"), keep=["item_price"])
    assert [row[0] for row in read_rows(tmp_path / "p.csv")[1:]] == prices


def test_lists_to_keep(model, block, tmp_path):
    """Those of a column that holds lists are joined; elsewhere they are errors."""
    tags = np.array([["a", "b"], "c||d"] * 150, object)
    more = dataclasses.replace(block, columns={**block.columns, "tags": tags})
    with pytest.raises(InputError, match=r"column 'tags': \['a', 'b'\] is a list, where each row"):
        predict_file(model, [more], str(tmp_path / "p.csv"), keep=["tags"])
    with_tags = weighted(model, features=(*model.spec.features, Bag("tags")))
    predict_file(with_tags, [more], str(tmp_path / "p.csv"), keep=["tags"])
    assert [row[0] for row in read_rows(tmp_path / "p.csv")[1:3]] == ["a|b", "c|d"]


def test_tasks_are_chosen_and_ordered(model, block, tmp_path):
    output = str(tmp_path / "p.csv")
    summary = predict_file(model, [block], output, tasks=["share", "click"])
    assert list(summary) == read_rows(output)[0] == ["share", "click"]
    whole = predict_file(model, [block], output)
    assert {name: whole[name] for name in summary} == summary


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tasks": ["clack"]}, "unknown task 'clack': data set 'synthetic' has click, like, share"),
        ({"tasks": ["click", "click"]}, "task 'click' is named twice"),
        ({"keep": ["user_sgment"]}, "has no column 'user_sgment' to keep; do you mean user_segm"),
        ({"keep": ["zzz"]}, "has no column 'zzz' to keep; it has user_id, item_id, user_seg"),
        ({"keep": ["Hour"]}, r"has no column 'Hour' to keep; do you mean hour\?"),
        ({"keep": ["hour", "hour"]}, "column 'hour' to keep is named twice"),
        ({"keep": [""]}, "a column to keep has no name"),
        ({"keep": ["click"]}, "column 'click' to keep is named like a task"),
    ],
)
def test_columns_and_tasks_that_are_not_there(model, block, tmp_path, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        predict_file(model, [block], str(tmp_path / "p.csv"), **arguments)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def with_bad_rows(block, change_column):
    """The block with three rows that lack a number, one of them two."""
    ages, prices = (block.columns[name].astype(object) for name in ("user_age", "item_price"))
    ages[3], ages[150], prices[3], prices[299] = "old", "", "inf", "nan"
    return change_column(change_column(block, "user_age", ages), "item_price", prices)


def test_bad_rows_are_rejected_and_the_others_predicted(
    model, block, with_bad_rows, slice_rows, tmp_path, read_predictions
):
    output, rejected = str(tmp_path / "p.csv"), str(tmp_path / "r.csv")
    ends = ((0, 150), (150, 151), (151, 300))  # the second has no good row
    seen = []
    with open_rejects(rejected) as rejects:
        rejects.add(BadRow("rows.csv", 7, "a kind", "a reason", "raw, text"))
        summary = predict_file(
            model,
            [slice_rows(with_bad_rows, *some) for some in ends],
            output,
            seen.append,
            rejects=rejects,
        )
        assert os.listdir(tmp_path) != ["r.csv"]
    good = [row for row in range(300) if row not in (3, 150, 299)]
    predicted = model.predict(block.rows(good))
    for task, values in read_predictions(output).items():
        np.testing.assert_allclose(values, predicted[task], rtol=1e-5)
        assert summary[task]["rows"] == 297
    assert sum(seen) == 300
    assert rejects.counts == {"a kind": 1, NOT_A_NUMBER: 3}
    header, first, *rest = read_rows(rejected)
    assert header == ["file", "line", "reason", "row"]
    assert first == ["rows.csv", "7", "a reason", "raw, text"]
    assert [row[:3] for row in rest] == [
        [
            block.source,
            "4",
            "column 'user_age': 'old' is not a finite number; "
            "column 'item_price': 'inf' is not a finite number",
        ],
        [block.source, "151", "column 'user_age': '' is not a finite number"],
        [block.source, "300", "column 'item_price': 'nan' is not a finite number"],
    ]
    assert sorted(os.listdir(tmp_path)) == ["p.csv", "r.csv"]


def test_a_rejected_row_is_written_as_it_was(model, with_bad_rows, tmp_path):
    """As a line of CSV that can be fixed, or as JSON for other inputs."""
    wanted = {name: str(column[3]) for name, column in with_bad_rows.columns.items()}
    for unit, parse in (("line", lambda text: next(csv.reader([text]))), ("record", json.loads)):
        block = dataclasses.replace(with_bad_rows, unit=unit)
        if unit == "record":
            vectors = np.fromiter([np.arange(2)] * len(block), object)
            block = dataclasses.replace(block, columns={**block.columns, "vector": vectors})
        with open_rejects(str(tmp_path / "r.csv")) as rejects:
            predict_file(model, [block], str(tmp_path / "p.csv"), rejects=rejects)
        written = parse(read_rows(tmp_path / "r.csv")[1][3])
        if unit == "line":
            assert written == list(wanted.values())
        else:
            assert written.pop("vector") == [0, 1]
            assert {name: str(value) for name, value in written.items()} == wanted


def test_typed_rows_are_rejected_one_by_one(model, block, tmp_path):
    """A null where a number is needed, and text that is not UTF-8, among rows of Parquet."""
    count, names = 20, [*model.column_types]
    table = pa.table({name: pa.array(block.columns[name][:count]) for name in names})
    prices = [None, *block.columns["item_price"][1:count]]
    table = table.set_column(names.index("item_price"), "item_price", pa.array(prices))
    devices = [str(v).encode() for v in block.columns["device"][:count]]
    devices[7] = b"\xff"
    table = table.set_column(names.index("device"), "device", pa.array(devices))
    table = table.append_column("unused", pa.array([{"a": 1}] * count))
    path = f"{tmp_path}/rows.parquet"
    pq.write_table(table, path, row_group_size=5)
    with open_rejects(str(tmp_path / "r.csv")) as rejects:
        blocks = read_file(path, TextFormat(), rejects.add, names)
        predict_file(model, blocks, str(tmp_path / "p.csv"), rejects=rejects)
    good = [row for row in range(count) if row not in (0, 7)]
    written = np.array([row[0] for row in read_rows(tmp_path / "p.csv")[1:]], np.float32)
    np.testing.assert_allclose(written, model.predict(block.rows(good))["click"], rtol=1e-5)
    first, second = read_rows(tmp_path / "r.csv")[1:]
    assert first[:3] == [path, "1", "column 'item_price': '' is not a finite number"]
    assert second[:3] == [path, "8", "column 'device' is not UTF-8 text (invalid start byte)"]
    assert json.loads(first[3])["device"] == block.columns["device"][0]


def test_a_rejected_row_of_a_text_file_has_all_its_columns(model, with_bad_rows, tmp_path):
    """Also those of no name, and between them what stood there."""
    columns = [pa.array([v] * len(with_bad_rows)) for v in ("x", "a;b", "1,5", ' "q"')]
    block = dataclasses.replace(with_bad_rows, values=TextRows(columns), delimiter=";")
    with open_rejects(str(tmp_path / "r.csv")) as rejects:
        predict_file(model, [block], str(tmp_path / "p.csv"), rejects=rejects)
    assert read_rows(tmp_path / "r.csv")[1][3] == 'x;"a;b";1,5;" ""q"""'


def test_all_rows_rejected(model, with_bad_rows, tmp_path):
    with open_rejects(str(tmp_path / "r.csv")) as rejects:
        bad = with_bad_rows.rows([3, 150, 299])
        summary = predict_file(
            model, [bad], str(tmp_path / "p.csv"), keep=["hour"], rejects=rejects
        )
    assert read_rows(tmp_path / "p.csv") == [["hour", "click", "like", "share"]]
    assert len(read_rows(tmp_path / "r.csv")) == 4
    assert summary["click"]["rows"] == 0
    assert np.isnan(summary["click"]["mean"])


def test_no_row_rejected_leaves_a_table_without_rows(model, block, tmp_path):
    """So that one of an earlier run is none of this one."""
    (tmp_path / "r.csv").write_text("from an earlier run")
    with open_rejects(str(tmp_path / "r.csv")) as rejects:
        predict_file(model, [block], str(tmp_path / "p.csv"), rejects=rejects)
    assert not rejects.counts
    assert read_rows(tmp_path / "r.csv") == [["file", "line", "reason", "row"]]


def test_what_is_no_single_rows_fault_ends_the_run(model, block, change_column, tmp_path):
    def run(blocks):
        with open_rejects(str(tmp_path / "r.csv")) as rejects:
            predict_file(model, blocks, str(tmp_path / "p.csv"), rejects=rejects)

    with pytest.raises(InputError, match="has no column 'hour'"):
        run([block, change_column(block, "hour", None)])
    with pytest.raises(InputError, match="the input has no rows"):
        run([])
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_to_a_pipe_before_the_first_row(model, block, change_column, tmp_path):
    """Whoever reads it should see no table where there is none."""
    reading, writing = os.pipe()
    with pytest.raises(InputError, match="has no column 'hour'"):
        predict_file(model, [change_column(block, "hour", None)], f"/dev/fd/{writing}")
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)
