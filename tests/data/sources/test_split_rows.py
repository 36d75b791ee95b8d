import itertools
import pickle
import random

import pytest
import tensorflow as tf

from mptrec_tf.data.sources import csv_rows
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.split_rows import SplitRows, describe_split, select_rows
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain

SPEC = parse(
    "{name: shop, categorical: [user, item], numeric: [price], "
    "tasks: [{name: buy, label: bought, positive: 1}]}",
    "shop.yaml",
)
HEADER = "user,item,price,at,bought"
ROWS = [f"u{n % 37},i{n % 11},{n / 4},2024-01-{n % 28 + 1:02} 12:00,{n % 2}" for n in range(400)]
RULES = [SplitRule(), SplitRule(by="user"), SplitRule((0.5, 0.25, 0.25), "time:at")]


def write(path, rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def open_rows(rule, *files):
    return SplitRows(Tabular(SPEC, {"files": list(files)}), rule)


def read(source):
    """The rows by split, as sorted text."""
    return {
        split: sorted(
            ",".join(row)
            for block in read_split(source, split)
            for row in zip(*(block.text(name) for name in HEADER.split(",")), strict=True)
        )
        for split in SPLITS
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.by))
def test_each_row_is_in_one_split_whatever_the_files(tmp_path, rule, monkeypatch):
    parts = read(open_rows(rule, write(tmp_path / "all.csv", ROWS)))
    assert sorted(itertools.chain(*parts.values())) == sorted(ROWS)
    assert all(parts.values())
    rows = random.Random(1).sample(ROWS, len(ROWS))
    files = [write(tmp_path / f"{n}.csv", rows[n::3]) for n in range(3)]
    monkeypatch.setattr(csv_rows, "BLOCK_ROWS", 7)
    assert read(open_rows(rule, *files)) == parts
    assert read(pickle.loads(pickle.dumps(open_rows(rule, *files[::-1])))) == parts


def test_by_user_and_by_time(tmp_path):
    path = write(tmp_path / "all.csv", ROWS)
    users = {
        s: {row.split(",")[0] for row in rows}
        for s, rows in read(open_rows(RULES[1], path)).items()
    }
    assert not users["train"] & users["test"]
    assert not users["train"] & users["validation"]
    assert len(set.union(*users.values())) == 37
    times = {
        s: [row.split(",")[3] for row in rows]
        for s, rows in read(open_rows(RULES[2], path)).items()
    }
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    # 28 days: 14 and 7 of them, with 15 or 14 rows each.
    assert [len(set(times[s])) for s in SPLITS] == [14, 7, 7]


def test_examples_are_split_as_text_is(tmp_path):
    """Numbers and texts of tf.Examples that are the same values."""
    path = f"{tmp_path}/rows.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        for row in ROWS:
            user, item, price, at, bought = row.split(",")
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in (("user", user), ("item", item), ("at", at))
            }
            number = tf.train.FloatList(value=[float(price)])
            feature["price"] = tf.train.Feature(float_list=number)
            label = tf.train.Int64List(value=[int(bought)])
            feature["bought"] = tf.train.Feature(int64_list=label)
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    text = write(tmp_path / "all.csv", ROWS)
    for rule in RULES:
        lines = {}
        for file, first in ((text, 2), (path, 1)):
            source = open_rows(rule, file)
            lines[file] = {
                s: [line - first for block in read_split(source, s) for line in block.lines]
                for s in SPLITS
            }
        assert lines[text] == lines[path]


def test_the_description_restores_the_split(tmp_path):
    path = write(tmp_path / "all.csv", ROWS)
    for rule in RULES:
        source = open_rows(rule, path)
        described = describe_split(source)
        assert described["files"] == [path]
        restored = from_plain(SplitRule, described["rule"])
        assert restored == source.rule
        # A fitted rule is used as it is: one row is no error, and cuts stay.
        one = write(tmp_path / "one.csv", ROWS[:1])
        mine = [
            s
            for s in SPLITS
            if sum(map(len, SplitRows(Tabular(SPEC, {"files": [one]}), restored).read((s, one))))
        ]
        [split] = mine
        assert ROWS[0] in read(source)[split]
        blocks = Tabular(SPEC, {"files": [one]}).read(one)
        assert sum(map(len, select_rows(blocks, restored, split, ()))) == 1
    assert describe_split(Tabular(SPEC, {"train": [path]})) is None


def test_estimates_and_shards(tmp_path):
    path = write(tmp_path / "all.csv", ROWS)
    source = open_rows(RULES[2], path)
    assert source.shards("test") == [("test", path)]
    assert [source.estimated_rows(split) for split in SPLITS] == [200, 100, 100]


def test_progress_counts_all_rows(tmp_path):
    counted = []
    path = write(tmp_path / "all.csv", ROWS)
    SplitRows(Tabular(SPEC, {"files": [path]}), RULES[2], counted.append)
    assert sum(counted) == len(ROWS)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (SplitRule(by="uzer"), r"all\.csv has no column 'uzer'; .* did you mean 'user'\?"),
        (SplitRule(by="time:when"), r"all\.csv has no column 'when'"),
        (SplitRule(by="time:user"), r"all\.csv, line 2, column 'user': 'u0' is not a time"),
        (SplitRule(by="time:bought"), "column 'bought' has 2 different times in 400 rows"),
        (SplitRule(by="bought"), "leaves no .* rows: their 400 rows have too few values"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(tmp_path, rule, message):
    with pytest.raises(InputError, match=message):
        open_rows(rule, write(tmp_path / "all.csv", ROWS))


def test_a_time_that_does_not_parse_is_named_with_its_line(tmp_path):
    rows = [*ROWS[:9], "u1,i1,1,yesterday,0", *ROWS]
    with pytest.raises(InputError, match=r"all\.csv, line 11, column 'at': 'yesterday' is not a"):
        open_rows(RULES[2], write(tmp_path / "all.csv", rows))
