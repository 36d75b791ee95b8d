"""The same rows in every format are the same examples, labels and statistics."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mptrec_tf.data.raw_examples import make_record_batch
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec_yaml import load
from mptrec_tf.data.survey import Survey, survey_block

SPEC = """\
name: shop
missing_values: [unknown]
categorical: [user, {name: price, min_count: 2}, member]
numeric: [price, {name: age, missing: mean}]
bags: [tags, {name: sizes, separator: " "}]
sequences: [{name: viewed, last: 2}]
vectors: [{name: title, size: 2}]
times: [{name: at, parts: [hour, month]}]
tasks:
- {name: click, label: clicked, positive: 1}
- {name: buy, label: bought, positive: true, missing: skip}
- {name: watch, kind: regression, label: seconds, missing: skip}
weight: stars
"""
NOON = datetime.datetime(2024, 1, 31, 12, tzinfo=datetime.timezone.utc)
MORE = datetime.timedelta(days=20, hours=5, seconds=1, microseconds=500_000)
COLUMNS = {
    "user": (pa.string(), ["ann", None, "bob", "unknown", "é", "ann"]),
    "price": (pa.float64(), [0.1, 2.0, 1e-05, 0.1, 123456.789, 3.0]),
    "member": (pa.bool_(), [True, False, None, True, True, False]),
    "age": (pa.int64(), [31, None, 2**40, 31, -1, None]),
    "stars": (pa.float32(), [1.0, 2.5, 0.1, 0.0, 3.0, 1.5]),
    "tags": (pa.list_(pa.string()), [["a", "b"], [], None, ["b"], ["c", "a", "b"], []]),
    "sizes": (pa.list_(pa.int64()), [[1, 2], [3], [], None, [2], [2, 2]]),
    "viewed": (pa.list_(pa.string()), [["x"], [], ["y", "x", "z"], ["z"], [], ["x", "y"]]),
    "title": (pa.list_(pa.float32(), 2), [[0.5, 1.0], [0.1, -2.0], *[[1.0, 0.0]] * 4]),
    "at": (pa.timestamp("us", "UTC"), [NOON, NOON + MORE, NOON, None, NOON - MORE, NOON]),
    "clicked": (pa.int8(), [1, 0, 1, 1, 0, 0]),
    "bought": (pa.bool_(), [True, None, False, False, None, True]),
    "seconds": (pa.float64(), [12.0, None, 0.25, 3.5, None, 7.0]),
}
SEPARATORS = {"tags": "|", "viewed": "|"}


def to_text(name, value):
    """Returns a value as a CSV file would have it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return SEPARATORS.get(name, " ").join(to_text(name, item) for item in value)
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "").replace("00000", "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_feature(kind, value):
    if value is None and not pa.types.is_list(kind) and not pa.types.is_integer(kind):
        value = ""
    values = value if isinstance(value, list) else [] if value is None else [value]
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if values and isinstance(values[0], int) and not isinstance(values[0], bool):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    texts = [to_text("", value).encode() for value in values]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def make_rows(of=slice(None)):
    columns = {name: values[of] for name, (_, values) in COLUMNS.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def make_table(of=slice(None)):
    return pa.table({name: pa.array(values[of], kind) for name, (kind, values) in COLUMNS.items()})


def write_csv(folder, rows):
    path = folder / "rows.csv"
    lines = [",".join(to_text(name, row[name]) for name in COLUMNS) for row in rows]
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return path


def write_json(folder, rows):
    """Keys whose value is null are left out, and so is the column that is missing first."""
    path = folder / "rows.jsonl"
    with path.open("w") as file:
        for row in rows:
            given = {name: value for name, value in row.items() if value is not None}
            file.write(json.dumps(given, default=lambda time: to_text("", time)) + "\n")
    return path


def write_tfrecord(folder, rows):
    path = folder / "rows.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            features = {n: to_feature(kind, row[n]) for n, (kind, _) in COLUMNS.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return path


def write_parquet(folder, rows):
    path = folder / "rows.parquet"
    pq.write_table(make_table(), path, row_group_size=4)
    return path


def write_partitions(folder, rows):
    """A folder for each user, without the column; users are in the order of their folders."""
    path = folder / "clicked=0" / "rows"  # what is above the given folder is no partition
    pq.write_to_dataset(make_table(), str(path), partition_cols=["user"])
    (path / "_SUCCESS").touch()
    return path


def write_feather(folder, rows):
    path = folder / "rows.feather"
    pyarrow.feather.write_feather(make_table(), str(path), chunksize=4, compression="lz4")
    return path


def write_stream(folder, rows):
    path = folder / "rows.arrow"
    with pa.ipc.new_stream(str(path), make_table().schema) as writer:
        writer.write_table(make_table())
    return path


WRITERS = {
    of.__name__.removeprefix("write_"): of
    for of in (write_json, write_tfrecord, write_parquet, write_feather, write_stream)
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "spec.yaml"
    path.write_text(SPEC)
    return load(path)


def read(spec, path):
    """Returns all rows as Arrow columns, and their survey."""
    survey, batches = Survey(), []
    for block in read_file(str(path), spec.text_format, lists=spec.list_columns):
        batches.append(make_record_batch(spec, block))
        survey.add(survey_block(spec, block))
    plain = survey.to_dict(spec)
    for column in plain["columns"].values():
        del column["types"]  # tf.Examples alone have them
    return pa.Table.from_batches(batches).to_pydict(), plain


@pytest.mark.parametrize("name", WRITERS)
def test_examples_labels_and_statistics(spec, tmp_path, name):
    expected, expected_survey = read(spec, write_csv(tmp_path, make_rows()))
    columns, survey = read(spec, WRITERS[name](tmp_path, make_rows()))
    for of in expected:
        np.testing.assert_equal(columns[of], expected[of], err_msg=of)
    assert survey == expected_survey


def test_a_folder_of_partitions(spec, tmp_path):
    """The rows of Parquet files whose folders say the user, as those of CSV in the same order."""
    by_user = sorted(make_rows(), key=lambda row: (row["user"] is None, row["user"] or ""))
    expected, _ = read(spec, write_csv(tmp_path, by_user))
    folder = write_partitions(tmp_path, by_user)
    source = Tabular(spec, {"train": [str(folder)]})
    order = [value.decode() for [value] in expected["user"]]
    batches = [make_record_batch(spec, block) for block in read_split(source, "train")]
    columns = pa.Table.from_batches(batches).to_pydict()
    places = sorted(range(6), key=lambda row: order.index(columns["user"][row][0].decode()))
    for name in expected:
        found = [columns[name][row] for row in places]
        np.testing.assert_equal(found, expected[name], err_msg=name)
    assert source.estimated_rows("train") == 6
