"""Training rows of which a share is kept."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS
from mptrec_tf.data.prepare import make_record_batch, prepare
from mptrec_tf.data.prepared import PreparedData, summarize_splits
from mptrec_tf.data.raw_examples import make_record_batch as make_raw_batch
from mptrec_tf.data.sampling import find_left_out, hash_rows
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

ROWS = {"train": 1500, "validation": 300, "test": 300}
SPEC = DatasetSpec(
    "shop",
    (Categorical("city"), Numeric("price")),
    (BinaryTask("buy", "bought", "1", sample_negatives=0.5), BinaryTask("like", "liked", "1")),
    user_id="user",
    weight="w",
)


def make_block(rows=400, start=0):
    number = np.arange(start, start + rows)
    text = {
        "city": [f"c{n % 7}" for n in number],
        "price": [f"{n % 50}.5" for n in number],
        "user": [f"u{n}" for n in number],
        "w": ["1"] * rows,
        "bought": [str(int(n % 10 == 0)) for n in number],
        "liked": [str(n % 2) for n in number],
    }
    columns = {name: np.array(values, object) for name, values in text.items()}
    return Block(columns, "a.csv", number + 2)


def left_out(spec, block):
    return find_left_out(spec, block, make_record_batch(spec, block))


def with_column(block, name, values):
    return dataclasses.replace(block, columns=block.columns | {name: np.array(values, object)})


def test_a_share_of_the_negatives_is_left_out():
    block = make_block(4000)
    out = left_out(SPEC, block)
    positive = block.columns["bought"] == "1"
    assert not out[positive].any()
    assert out[~positive].mean() == pytest.approx(0.5, abs=0.03)
    tenth = dataclasses.replace(SPEC.tasks[0], sample_negatives=0.1)
    fewer = left_out(dataclasses.replace(SPEC, tasks=(tenth, SPEC.tasks[1])), block)
    assert fewer[~positive].mean() == pytest.approx(0.9, abs=0.02)
    assert (fewer | ~out).all()  # what half of them leave out, a tenth leaves out, too
    # The choice has nothing to do with what the rows hold.
    for column in ("city", "liked"):
        for value in np.unique(block.columns[column]):
            rows = ~positive & (block.columns[column] == value)
            assert out[rows].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(rows.sum()))


def test_rows_have_the_same_hashes_everywhere():
    """These numbers stand for all machines and releases: other ones would keep other rows."""
    block = make_block(3)
    assert hash_rows(SPEC, block, make_record_batch(SPEC, block), "buy").tolist() == HASHES


HASHES = [18064548304176309531, 14044978416663635473, 13676520459211682970]


def test_neither_the_place_of_a_row_nor_the_program_matters():
    block = make_block()
    whole = left_out(SPEC, block)
    parts = [left_out(SPEC, make_block(100, start)) for start in range(0, 400, 100)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    order = np.random.default_rng(1).permutation(400)
    np.testing.assert_array_equal(left_out(SPEC, block.rows(order)), whole[order])
    raw = find_left_out(SPEC, block, make_raw_batch(SPEC, block))
    np.testing.assert_array_equal(raw, whole)
    # Other tasks and columns may join the data later.
    more = (*SPEC.tasks, BinaryTask("share", "shared", "1"))
    other = with_column(block, "shared", ["0"] * 400)
    np.testing.assert_array_equal(left_out(dataclasses.replace(SPEC, tasks=more), other), whole)


@pytest.mark.parametrize("column", ["city", "price", "user", "w"])
def test_every_column_decides(column):
    block = make_block()
    changed = {"city": "x", "price": "7", "user": "me", "w": "2"}[column]
    other = with_column(block, column, [changed] * 400)
    # Half of about 180 would differ by chance.
    assert 100 < (left_out(SPEC, block) != left_out(SPEC, other)).sum() < 240


def test_lists_of_values_are_hashed_in_their_order():
    """Columns of several values in each row, and of none."""
    block = make_block(6)
    lists = pa.array(
        [["a", "b"], ["b", "a"], ["a", "b"], [], ["ab"], None], pa.large_list(pa.utf8())
    )
    batch = pa.RecordBatch.from_arrays([lists, pa.array([[1.0]] * 6)], ["city", "price"])
    spec = dataclasses.replace(SPEC, user_id=None, weight=None)
    hashes = hash_rows(spec, block, batch, "buy")
    assert hashes[0] == hashes[2]
    assert hashes[3] == hashes[5]
    assert len(set(hashes.tolist())) == 4


def test_nothing_is_left_out_of_data_without_it():
    spec = dataclasses.replace(SPEC, tasks=SPEC.tasks[1:])
    assert not left_out(spec, make_block()).any()


class Sampled(Synthetic):
    """Synthetic rows, of whose rows without a click a fifth is kept."""

    def __init__(self, share=0.2):
        super().__init__(ROWS)
        tasks = {task.name: task for task in self.spec.tasks}
        tasks["click"] = dataclasses.replace(tasks["click"], sample_negatives=share)
        self.spec = dataclasses.replace(self.spec, tasks=tuple(tasks.values()))


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampled")
    return prepare(Sampled(), f"{folder}/data")


def read_packed(data, split):
    [batch] = tf.data.TFRecordDataset(data.files(split)).batch(10_000).map(data.parse)
    return {name: column.numpy() for name, column in batch.items()}


def test_prepared_data_hold_the_rows_that_are_kept(sampled):
    source = Sampled()
    blocks = list(read_split(source, "train"))
    clicks = sum(int(block.columns["click"].sum()) for block in blocks)
    out = sum(int(left_out(source.spec, block).sum()) for block in blocks)
    packed = read_packed(sampled, "train")
    assert len(packed[LABELS]) == 1500 - out == sampled.splits["train"]["rows"]
    assert packed[LABELS][:, 0].sum() == clicks
    assert sampled.splits["train"]["tasks"]["click"] == {"positives": clicks, "left_out": out}
    assert "left_out" not in sampled.splits["train"]["tasks"]["like"]
    with open(f"{sampled.directory}/data.json") as file:
        described = json.load(file)
    assert described["spec"]["tasks"][0]["sample_negatives"] == 0.2
    table = {(row["task"], row["split"]): row for row in summarize_splits(sampled)}
    assert table["click", "train"]["left_out"] == out
    assert "left_out" not in table["click", "test"]


def test_kept_rows_stand_for_five_where_they_are_not_clicked(sampled):
    packed = read_packed(sampled, "train")
    clicked = packed[LABELS][:, 0] == 1
    weights = packed[TASK_WEIGHTS]
    assert (weights[:, 0] == 1).all()
    assert (weights[clicked] == 1).all()
    np.testing.assert_array_equal(weights[~clicked, 1:], 5)
    # Weighted like this, the other tasks' labels are those of all rows, but for chance.
    [*blocks] = read_split(Sampled(), "train")
    for column, task in enumerate(sampled.spec.task_names):
        labels = np.concatenate([block.columns[task] for block in blocks])
        if task != "click":
            mean = np.average(packed[LABELS][:, column], weights=weights[:, column])
            assert mean == pytest.approx(labels.mean(), abs=0.04)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_splits_are_complete(sampled, split):
    packed = read_packed(sampled, split)
    assert len(packed[LABELS]) == 300 == sampled.splits[split]["rows"]
    assert (packed[TASK_WEIGHTS] == 1).all()


def test_rows_that_are_left_out_are_checked_too():
    block = make_block()
    row = int(np.flatnonzero(left_out(SPEC, block))[0])
    prices = block.columns["price"].copy()
    prices[row] = "dear"
    with pytest.raises(InputError, match=f"a.csv, line {row + 2}, column 'price': 'dear' is not"):
        make_record_batch(SPEC, with_column(block, "price", prices))


def test_data_are_read_again(sampled):
    again = PreparedData(sampled.directory)
    assert again.spec == sampled.spec
    assert again.spec.tasks[0].kept_share == 0.2
