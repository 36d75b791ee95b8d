import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared import PreparedData, summarize_splits
from mptrec_tf.data.runners import check_beam_args
from mptrec_tf.data.sets.census_income.rows import CensusIncome
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import load
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

SPEC = DatasetSpec(
    "small",
    (Categorical("c"), Numeric("x")),
    (BinaryTask("t", "y", positive="1", negative="0"),),
)
CSV = "c,x,y\na,1,1\nb,2,0\n"

# Columns with the names of packed tensors are ordinary features.
SHOP = """\
name: shop
categorical:
- user
- {name: labels, min_count: 2}
- {name: "item (id)", hash_buckets: 10}
numeric:
- weight
- {name: price, scale: log}
- {name: height, scale: standard}
tasks:
- {name: buy, label: bought, positive: [yes, y], negative: no}
- {name: stay, label: seconds, above: 30}
user_id: user
weight: importance
"""
SHOP_COLUMNS = (
    *("user", "labels", "item (id)", "weight", "price", "height"),
    *("bought", "seconds", "importance"),
)
SHOP_ROWS = [
    ("ann", "red", "i1", 1.5, 2.0, 170.0, "yes", 31.0, 1.0),
    ("ann", "red", "i2", 2.5, 0.0, 180.0, "no", 30.0, 0.5),
    ("bob", "blue", "i3", 3.5, 9.0, 190.0, "y", 5.0, 0.0),
    ("eve", "", "i1", 0.5, 1.0, 160.0, "no", 99.5, 2.0),
]


def as_csv(rows):
    return "\n".join(",".join(map(str, row)) for row in (SHOP_COLUMNS, *rows)) + "\n"


def as_example(row):
    features = {}
    for name, value in zip(SHOP_COLUMNS, row, strict=True):
        if isinstance(value, str):
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        else:
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
        features[name] = feature
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A user's own data: CSV and Parquet, CSV in gzip, and TFRecord files with the same rows."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "spec.yaml").write_text(SHOP)
    (folder / "train-1.csv").write_text(as_csv(SHOP_ROWS[:3]))
    columns = zip(*SHOP_ROWS[3:], strict=True)
    pq.write_table(
        pa.table(dict(zip(SHOP_COLUMNS, map(list, columns), strict=True))),
        folder / "train-2.parquet",
    )
    (folder / "validation.csv.gz").write_bytes(gzip.compress(as_csv(SHOP_ROWS).encode()))
    with tf.io.TFRecordWriter(f"{folder}/test.tfrecord") as writer:
        for row in SHOP_ROWS:
            writer.write(as_example(row))
    return folder


def open_shop(folder, train="train-*"):
    patterns = {
        "train": [f"{folder}/{train}"],
        "validation": [f"{folder}/validation.csv.gz"],
        "test": [f"{folder}/test.tfrecord"],
    }
    return Tabular(load(folder / "spec.yaml"), patterns)


@pytest.fixture(scope="module")
def shop_data(shop):
    seen = []
    data = prepare(open_shop(shop), f"{shop}/data", on_rows=seen.append)
    assert sum(seen) == 4 * len(SHOP_ROWS)  # those of train twice
    return data


def read(data, split):
    """All rows of a split in the order of the files."""
    batches = tf.data.TFRecordDataset(data.files(split)).batch(100_000).map(data.parse)
    [batch] = batches.as_numpy_iterator()
    return batch


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_same_rows(some, others):
    assert some.keys() == others.keys()
    for name in some:
        np.testing.assert_array_equal(some[name], others[name])


def test_own_data(shop_data):
    rows = read(shop_data, "validation")
    # The hashed feature has the ids 0 to 9; users ann, bob and eve 10 to 12, others 13; the value
    # red, seen twice, 14, others 15.
    assert rows["categorical"][:, 0].tolist() == [10, 10, 11, 12]
    assert rows["categorical"][:, 1].tolist() == [14, 14, 15, 15]
    buckets = tf.strings.to_hash_bucket_fast([row[2] for row in SHOP_ROWS], 10).numpy()
    assert rows["categorical"][:, 2].tolist() == buckets.tolist()
    assert shop_data.inputs[0] == InputShape("categorical", 3, 10 + 4 + 2)
    np.testing.assert_allclose(rows["numeric"][:, 0], [1 / 3, 2 / 3, 1, 0], rtol=1e-6)
    logs = np.log1p([2, 0, 9, 1])
    np.testing.assert_allclose(rows["numeric"][:, 1], (logs - logs.mean()) / logs.std(), rtol=1e-5)
    deviations = np.array([-5, 5, 15, -15]) / np.sqrt(125)
    np.testing.assert_allclose(rows["numeric"][:, 2], deviations, rtol=1e-5)
    assert rows["labels"].tolist() == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert rows["weight"].tolist() == [1, 0.5, 0, 2]
    assert rows.keys() == {"categorical", "numeric", "labels", "weight"}


def test_every_format_gives_the_same_rows(shop_data):
    rows = {split: read(shop_data, split) for split in SPLITS}
    assert_same_rows(rows["test"], rows["validation"])
    order = {s: np.argsort(rows[s]["numeric"][:, 2]) for s in ("train", "validation")}
    for name in rows["train"]:
        np.testing.assert_array_equal(
            rows["train"][name][order["train"]], rows["validation"][name][order["validation"]]
        )


def test_written_files(shop_data, shop):
    assert not [name for name in tree(shop) if "incomplete" in name]
    assert {path.name.partition("-")[0] for path in (shop / "data").iterdir()} == {
        "data.json",
        "transform",
        *SPLITS,
    }
    opened = PreparedData(f"{shop}/data/")
    assert opened.spec == shop_data.spec
    counts = {"rows": 4, "tasks": {"buy": {"positives": 2}, "stay": {"positives": 2}}}
    assert opened.splits == {"train": counts, "validation": counts, "test": counts}


def test_summary_rows(shop_data):
    assert summarize_splits(shop_data)[3] == {
        "task": "stay",
        "split": "train",
        "rows": 4,
        "positives": 2,
        "share": 0.5,
    }


def test_task_columns(shop_data):
    assert shop_data.task_columns(["stay", "buy"]) == [1, 0]
    with pytest.raises(InputError, match="unknown task 'click': data set 'shop' has buy, stay"):
        shop_data.task_columns(["click"])


@pytest.mark.parametrize(("positives", "split"), [(0, "train"), (4, "validation")])
def test_one_class_only(shop_data, tmp_path, positives, split):
    content = json.loads(Path(shop_data.directory, "data.json").read_text())
    content["splits"][split]["tasks"]["stay"]["positives"] = positives
    (tmp_path / "data.json").write_text(json.dumps(content))
    message = (
        f"task 'stay' has one class only in the {split} split: {positives} positives in 4 rows of "
        r".*\(label column 'seconds'\); check what counts as positive"
    )
    data = PreparedData(str(tmp_path))
    assert data.task_columns(["buy"]) == [0]
    with pytest.raises(InputError, match=message):
        data.task_columns(["buy", "stay"])


def test_no_prepared_data(tmp_path):
    message = r"holds no prepared data \(data.json is missing\); give a directory that mptrec-prep"
    with pytest.raises(InputError, match=message):
        PreparedData(str(tmp_path))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"spec": 5, "splits": {}}', '{"spec": {}'])
def test_damaged_prepared_data(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(InputError, match=r"data.json is damaged \(.*\); prepare the data again"):
        PreparedData(str(tmp_path))


def test_missing_examples(shop_data, tmp_path):
    tf.io.gfile.copy(f"{shop_data.directory}/data.json", f"{tmp_path}/data.json")
    with pytest.raises(InputError, match="holds no train examples; prepare the data again"):
        PreparedData(str(tmp_path)).files("train")


def test_preparing_twice_gives_the_same_rows(shop, shop_data, tmp_path):
    again = prepare(open_shop(shop), f"{tmp_path}/data")
    for split in SPLITS:
        assert_same_rows(read(shop_data, split), read(again, split))


def test_a_backbones_graph_on_other_training_rows(shop, shop_data, tmp_path):
    """Equal rows have the same ids and numbers, though only one is in train now."""
    data = prepare(
        open_shop(shop, "train-2.parquet"),
        f"{tmp_path}/data",
        transform_dir=shop_data.transform_dir,
    )
    assert data.splits["train"]["rows"] == 1
    for split in ("validation", "test"):
        assert_same_rows(read(data, split), read(shop_data, split))
    eve = {name: column[3:] for name, column in read(shop_data, "validation").items()}
    assert_same_rows(read(data, "train"), eve)
    assert data.inputs == shop_data.inputs


def test_no_graph(shop, tmp_path):
    with pytest.raises(InputError, match=r"there is no preprocessing graph in .*/none"):
        prepare(open_shop(shop), f"{tmp_path}/data", transform_dir=f"{tmp_path}/none")


def test_real_rows(prepared_census, small_census):
    data = PreparedData(str(prepared_census))
    source = CensusIncome(str(small_census))
    assert {split: counts["rows"] for split, counts in data.splits.items()} == {
        "train": 2000,
        "validation": 1000,
        "test": 1000,
    }
    for split in SPLITS:
        rows = read(data, split)
        blocks = list(read_split(source, split))
        assert rows["categorical"].shape == (len(rows["labels"]), 28)
        assert rows["numeric"].shape == (len(rows["labels"]), 11)
        assert rows["numeric"].min() >= 0
        assert rows["numeric"].max() <= 1
        assert rows["categorical"].min() >= 0
        assert rows["categorical"].max() < data.inputs[0].rows
        married = np.concatenate([b.column("marital_stat") for b in blocks]) != "Never married"
        assert rows["labels"][:, 1].tolist() == (~married).tolist()
        positives = dict(zip(data.spec.task_names, rows["labels"].sum(axis=0), strict=True))
        labels = data.splits[split]["tasks"]
        assert {task: of["positives"] for task, of in labels.items()} == positives


def test_values_that_train_does_not_have(prepared_census, small_census):
    """Their id is the last one of the feature, which no training row has."""
    data = PreparedData(str(prepared_census))
    source = CensusIncome(str(small_census))

    def column(split, name):
        return np.concatenate([block.column(name) for block in read_split(source, split)])

    ids = {split: read(data, split)["categorical"] for split in ("train", "test")}
    found = 0
    for index, feature in enumerate(data.spec.categorical):
        known = column("train", feature.name)
        train, test = ids["train"][:, index], ids["test"][:, index]
        assert len(set(train)) == len(set(known))
        new = ~np.isin(column("test", feature.name), known)
        assert set(test[new]) <= {train.max() + 1}
        assert set(test[~new]) <= set(train)
        found += new.sum()
    assert found


# Errors. Those in the first rows of a split are reported before Beam starts.


def small_source(folder, **contents):
    """A source of CSV files, valid except for the given ones."""
    for split in SPLITS:
        (folder / f"{split}.csv").write_text(contents.get(split, CSV))
    return Tabular(SPEC, {split: [f"{folder}/{split}.csv"] for split in SPLITS})


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"train": "c,x,y\n"}, r"^no train rows: .*/train\.csv is empty\.$"),
        ({"validation": "c,x,y\n\n"}, "no validation rows: .*/validation.csv is empty"),
        ({"test": "c,x,y\n"}, "no test rows: .*/test.csv is empty"),
        ({"train": CSV + "a,1,NA\n"}, "line 4, column 'y': 'NA' is a missing value"),
        ({"train": "c;x;y\na;1;1\n"}, "seems to have semicolons between its values: give `del"),
        ({"test": "c,y\na,1\n"}, "test.csv has no column 'x'; it has c, y"),
        ({"validation": "c,x\na,1\n"}, "validation.csv has no column 'y'"),
        ({"train": "c,x,y\na,1,1\na,nan,1\n"}, "train.csv, line 3, column 'x': 'nan' is not a fin"),
        ({"train": "c,x,y\na,inf,1\n"}, "train.csv, line 2, column 'x': 'inf' is not a finite"),
        ({"train": "c,x,y\na,old,1\n"}, "train.csv, line 2, column 'x': 'old' is not a finite"),
        ({"train": "c,x,y\na,1,2\n"}, "line 2, column 'y': '2' is neither positive nor negative"),
        ({"train": "c,x,y\na,1\n"}, "train.csv, line 2: 2 columns, but the header has 3"),
        ({"train": ""}, "no train rows: .*/train.csv is empty"),
    ],
)
def test_rows_that_do_not_fit_the_spec(tmp_path, contents, message):
    small_source(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=message):
        prepare(small_source(tmp_path, **contents), f"{tmp_path}/data")
    assert tree(tmp_path) == before


def test_no_files_for_a_split(tmp_path):
    source = small_source(tmp_path)
    source = Tabular(SPEC, {"train": [f"{tmp_path}/train.csv"], "test": [f"{tmp_path}/test.csv"]})
    with pytest.raises(InputError, match="data set 'small' has no validation rows; every split"):
        prepare(source, f"{tmp_path}/data")


def test_a_missing_user_or_a_negative_weight(tmp_path):
    row = "c,x,y,u,w\na,1,1,ann,-0.5\n"
    source = small_source(tmp_path, train=row)
    source.spec = DatasetSpec(SPEC.name, SPEC.features, SPEC.tasks, "user", None)
    with pytest.raises(InputError, match=r"train.csv has no column 'user'; it has c, x, y, u, w"):
        prepare(source, f"{tmp_path}/data")
    source.spec = DatasetSpec(SPEC.name, SPEC.features, SPEC.tasks, "u", "w")
    message = "line 2, column 'w': the weight -0.5 is negative; it must be 0 or more"
    with pytest.raises(InputError, match=message):
        prepare(source, f"{tmp_path}/data")


def test_an_error_in_a_worker(tmp_path):
    """Far below the rows that are checked before Beam starts: still only the sentence."""
    source = small_source(tmp_path, train="c,x,y\n" + "a,1,1\n" * 3000 + "a,1,maybe\n")
    before = tree(tmp_path)
    with pytest.raises(InputError) as caught:
        prepare(source, f"{tmp_path}/data")
    assert str(caught.value) == (
        f"{tmp_path}/train.csv, line 3002, column 'y': 'maybe' is neither positive nor negative "
        "for task 't'; expected '1' or '0'."
    )
    assert tree(tmp_path) == before


def test_existing_data_stay(tmp_path):
    source = small_source(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match="data already exists; give another output directory"):
        prepare(source, f"{tmp_path}/data")
    assert tree(tmp_path) == before
    assert (tmp_path / "data/mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--runner=Nosuch"], "Beam cannot use --runner=Nosuch: Unexpected pipeline runner"),
        (["--outptu_dir=x"], "unknown flag --outptu_dir: neither this program nor Beam has it"),
        (
            ["--direct_num_workers=many"],
            r"Beam does not take the flags --direct_num_workers=many: .*invalid int value: 'many'",
        ),
    ],
)
def test_flags_that_beam_rejects(tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        prepare(Synthetic(dict.fromkeys(SPLITS, 10)), f"{tmp_path}/data", beam_args=flags)
    assert tree(tmp_path) == []


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--direct_num_workers=2", "--direct_running_mode", "multi_threading"],
        ["--runner=FlinkRunner", "--flink_master=host:8081", "--parallelism=4"],
        ["--runner=PortableRunner", "--job_endpoint=host:8099", "--known_to_the_server=1"],
    ],
)
def test_flags_that_beam_accepts(flags):
    check_beam_args(flags)
