import dataclasses
import gzip
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.components.example_gen import utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils

from components.example_gen.component import RawExampleGen, open_newest
from components.example_gen.source import SourceConfig
from mptrec_tf.data.raw_examples import label_column, read_description, read_serialized_examples
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.errors import InputError

SPEC = parse(
    """\
name: shop
categorical: [color]
numeric: [price]
tasks:
- {name: buy, label: bought, positive: [yes], negative: [no], known_probability: truth}
- {name: stay, label: seconds, above: 30}
user_id: user
weight: importance
""",
    "shop.yaml",
)
HEADER = "user,color,price,importance,bought,truth,seconds,unused"
ROWS = {
    "train": [
        "ann,red,1.5,1,yes,0.75,31,a",
        "bob,blue,2,0.5,no,0.25,30,b",
        "ann,red,3,2,no,0.5,30.5,c",
        "eve,,4,1,yes,0.5,0,d",
    ],
    "validation": ["eve,blue,-1,1,no,0.5,60,e", "bob,blue,0,1,yes,0.5,61,f"],
    "test": ["bob,green,7,0,yes,1,12,g"],
}


@pytest.fixture
def generate(tmp_path, run_executor):
    """Runs the component on a data set, spans resolved by TFX as its driver does."""
    runs = itertools.count()

    def generate(source):
        component = RawExampleGen(source)
        config = example_gen_pb2.Input()
        proto_utils.json_to_proto(component.exec_properties["input_config"], config)
        utils.calculate_splits_fingerprint_span_and_version(
            component.exec_properties["input_base"], config.splits
        )
        component.exec_properties["input_config"] = proto_utils.proto_to_json(config)
        return run_executor(component, tmp_path / f"run-{next(runs)}")["examples"]

    return generate


def write_shop(folder, **changes):
    """Writes CSV files of the small shop, and returns the data set."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (ROWS | changes).items():
        (folder / f"{split}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return SourceConfig(spec=SPEC, files={split: f"{folder}/{split}.csv" for split in SPLITS})


def read_rows(examples, split):
    """Every example as a dict of its single values, sorted by all of them."""
    rows = []
    for batch in read_serialized_examples(examples.uri, split, 1000):
        for serialized in batch.numpy():
            features = tf.train.Example.FromString(serialized).features.feature
            row = {}
            for name, feature in features.items():
                [row[name]] = getattr(feature, feature.WhichOneof("kind")).value
            rows.append(row)
    return sorted(rows, key=lambda row: str(sorted(row.items())))


def test_splits_stay_as_they_came(examples, synthetic):
    assert artifact_utils.decode_split_names(examples.split_names) == list(SPLITS)
    description = read_description(examples.uri)
    assert description["spec"] == synthetic.make_spec()
    assert {s: c["rows"] for s, c in description["splits"].items()} == {
        "train": 1200,
        "validation": 200,
        "test": 400,
    }
    source = synthetic.open({})
    for split, counts in description["splits"].items():
        [block] = read_split(source, split)
        for task in ("click", "like", "share", "purchase"):
            assert counts["tasks"][task]["positives"] == block.columns[task].sum()
    assert examples.get_string_custom_property("rows_fingerprint") == description["fingerprint"]
    assert examples.get_string_custom_property("data_set") == "synthetic"


def test_every_row_becomes_an_example_of_its_features_and_labels(examples, synthetic):
    spec, source = synthetic.make_spec(), synthetic.open({})
    for split in SPLITS:
        [block] = read_split(source, split)
        columns = {f.name: [v.encode() for v in block.text(f.name)] for f in spec.categorical}
        columns |= {f.name: block.numbers(f.name).tolist() for f in spec.numeric}
        for task in spec.task_names:
            columns[f"label/{task}"] = block.numbers(task).tolist()
            columns[f"probability_{task}"] = block.numbers(f"probability_{task}").tolist()
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        expected = sorted(rows, key=lambda row: str(sorted(row.items())))
        assert read_rows(examples, split) == expected


def test_a_users_own_csv(tmp_path, generate):
    examples = generate(write_shop(tmp_path / "shop"))
    description = read_description(examples.uri)
    assert description["spec"] == SPEC
    assert description["splits"] == {
        "train": {"rows": 4, "tasks": {"buy": {"positives": 2}, "stay": {"positives": 2}}},
        "validation": {"rows": 2, "tasks": {"buy": {"positives": 1}, "stay": {"positives": 2}}},
        "test": {"rows": 1, "tasks": {"buy": {"positives": 1}, "stay": {"positives": 0}}},
    }
    assert read_rows(examples, "test") == [
        {
            "color": b"green",
            "price": 7.0,
            "label/buy": 1.0,
            "label/stay": 0.0,
            "truth": 1.0,
            "importance": 0.0,
            "user": b"bob",
        }
    ]
    labels = {
        (row["user"], row["price"]): (row["label/buy"], row["label/stay"])
        for row in read_rows(examples, "train")
    }
    assert labels == {
        (b"ann", 1.5): (1, 1),
        (b"bob", 2.0): (0, 0),
        (b"ann", 3.0): (0, 1),
        (b"eve", 4.0): (1, 0),
    }
    files = sorted(p.name for p in tmp_path.glob("run-0/examples/*"))
    assert files == ["Split-test", "Split-train", "Split-validation", "examples.json"]


def test_the_fingerprint_depends_on_rows_and_not_on_their_order_or_files(tmp_path, generate):
    source = write_shop(tmp_path / "shop")
    fingerprint = generate(source).get_string_custom_property("rows_fingerprint")
    scattered = tmp_path / "scattered"
    write_shop(scattered)
    rows = [row.split(",") for row in ROWS["train"][::-1]]
    table = pa.table(dict(zip(HEADER.split(","), map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_to_dataset(table, f"{scattered}/train", partition_cols=["user"])
    files = {split: f"{scattered}/{split}*.csv" for split in SPLITS}
    files["train"] = f"{scattered}/train"
    source = SourceConfig(spec=SPEC, files=files)
    assert source.patterns()[1]["train"] == "train/*/*"
    other = generate(source)
    assert other.get_string_custom_property("rows_fingerprint") == fingerprint
    swapped = write_shop(tmp_path / "swapped", train=ROWS["validation"], validation=ROWS["train"])
    other = generate(swapped)
    assert other.get_string_custom_property("rows_fingerprint") != fingerprint


def test_every_value_of_a_row_counts_in_the_fingerprint(tmp_path, generate):
    """One changed value in one row: beside, a feature, a label; an unused column does not count."""
    values = dict(zip(HEADER.split(","), "ann,red,1.5,1,yes,0.75,31,a".split(","), strict=True))
    changes = {
        "user": "bob",
        "price": "1.5000001",
        "seconds": "30",
        "unused": "z",
    }
    fingerprints = {}
    for column, value in {"": "", **changes}.items():
        row = ",".join((values | {column: value} if column else values).values())
        source = write_shop(tmp_path / f"changed-{column}", train=[*ROWS["train"][1:], row])
        fingerprints[column] = generate(source).get_string_custom_property("rows_fingerprint")
    assert fingerprints.pop("unused") == fingerprints[""]
    assert len(set(fingerprints.values())) == len(fingerprints) == 4


def test_the_newest_span_is_read(tmp_path, generate):
    for span, color in ((1, "red"), (2, "blue"), (10, "green")):
        folder = tmp_path / "days" / f"span-{span}"
        write_shop(folder, train=[f"ann,{color},1,1,yes,0.5,{span},a"])
    files = {split: f"{tmp_path}/days/span-{{SPAN}}/{split}.csv" for split in SPLITS}
    examples = generate(SourceConfig(spec=SPEC, files=files))
    assert [row["color"] for row in read_rows(examples, "train")] == [b"green"]
    assert read_description(examples.uri)["splits"]["validation"]["rows"] == 2


def test_compressed_files_of_spans_by_date(tmp_path, generate):
    for day in ("2026-01-31", "2026-02-01"):
        folder = tmp_path / "days" / day
        write_shop(folder, train=[f"{day},red,1,1,yes,0.5,1,a"])
        for split in SPLITS:
            plain = folder / f"{split}.csv"
            (folder / f"{split}.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()
    files = {split: f"{tmp_path}/days/{{YYYY}}-{{MM}}-{{DD}}/{split}*.gz" for split in SPLITS}
    examples = generate(SourceConfig(spec=SPEC, files=files))
    assert [row["user"] for row in read_rows(examples, "train")] == [b"2026-02-01"]


def test_a_folder_of_a_span(tmp_path):
    for span in (9, 10):
        write_shop(tmp_path / f"{span}", train=[f"ann,red,{span},1,yes,0.5,1,a"])
        for split in SPLITS:
            (tmp_path / f"{split}/{span}").mkdir(parents=True)
            (tmp_path / f"{span}/{split}.csv").rename(tmp_path / f"{split}/{span}/a.csv")
    files = {split: f"{tmp_path}/{split}/{{SPAN}}/" for split in SPLITS}
    source = open_newest(SourceConfig(spec=SPEC, files=files))
    assert source.shards("train") == [f"{tmp_path}/train/10/a.csv"]
    # TFX would fingerprint the folder, not its files.
    files["train"] = files["train"].rstrip("/")
    with pytest.raises(InputError, match=r"train/10 is a folder; end its path in /"):
        open_newest(SourceConfig(spec=SPEC, files=files))


def test_names_with_characters_of_globs_are_fingerprinted(tmp_path):
    write_shop(tmp_path / "a[1]")
    folder = tmp_path / "a[1]" / "more*"
    folder.mkdir()
    (tmp_path / "a[1]" / "train.csv").rename(folder / "?.csv")
    files = {split: f"{tmp_path}/a[1]/{split}.csv" for split in SPLITS}
    for train in (str(folder), f"{folder}/?.csv"):
        source = SourceConfig(spec=SPEC, files=files | {"train": train})
        base, patterns = source.patterns()
        found = {split: tf.io.gfile.glob(f"{base}{patterns[split]}") for split in SPLITS}
        assert found == {
            "train": [f"{folder}/?.csv"],
            "validation": [files["validation"]],
            "test": [files["test"]],
        }
        assert open_newest(source).shards("train") == found["train"]
    options = {"data_dir": f"{tmp_path}/a[1]"}
    base, _ = SourceConfig(dataset="census_income", options=options).patterns()
    assert tf.io.gfile.glob(f"{base}/test.csv") == [files["test"]]


def test_a_folder_with_files_at_several_depths_is_rejected(tmp_path):
    source = write_shop(tmp_path / "shop")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text((tmp_path / "shop" / "train.csv").read_text())
    source = dataclasses.replace(source, files={**source.files, "train": f"{tmp_path}/rows"})
    base, patterns = source.patterns()
    (tmp_path / "rows" / "old").mkdir()
    (tmp_path / "rows" / "old" / "b.csv").touch()
    message = r"rows holds files at several depths, .*/rows/a.csv and .*/rows/old/b.csv; put all as"
    with pytest.raises(InputError, match=message):
        source.patterns()
    with pytest.raises(InputError, match=message):  # it was compiled before
        source.open({split: base + patterns[split] for split in SPLITS})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ann,red,cheap,1,yes,0.5,1,a", r"train\.csv, line 6, column 'price': 'cheap' is not a "),
        ("ann,red,1,1,yes,0.5", r"train\.csv, line 6: 6 columns, but the header has 8"),
    ],
)
def test_a_bad_value_is_named_with_file_line_and_column(tmp_path, generate, row, message):
    source = write_shop(tmp_path / "shop", train=[*ROWS["train"], row])
    with pytest.raises(InputError, match=message) as caught:
        generate(source)
    assert "while running" not in str(caught.value)


def test_a_split_without_rows_is_named(tmp_path, generate):
    source = write_shop(tmp_path / "shop", validation=[])
    with pytest.raises(InputError, match=r"^no validation rows: .*/validation\.csv is empty\.$"):
        generate(source)


@pytest.fixture(scope="module")
def census(small_census, run_executor, tmp_path_factory):
    """The examples of the original files."""
    source = SourceConfig(dataset="census_income", options={"data_dir": str(small_census)})
    return run_executor(RawExampleGen(source), tmp_path_factory.mktemp("census"))["examples"]


def test_census_income(small_census, census):
    examples, description = census, read_description(census.uri)
    rows = {split: counts["rows"] for split, counts in description["splits"].items()}
    assert rows == {"train": 2000, "validation": 1000, "test": 1000}
    with open(small_census / "census-income.data") as file:
        raw = [line.rstrip().split(", ") for line in file]
    labels = description["splits"]["train"]["tasks"]
    assert {task: of["positives"] for task, of in labels.items()} == {
        "income": sum(row[41] == "50000+." for row in raw),
        "marital": sum(row[7] == "Never married" for row in raw),
        "education": sum(row[4] == "Bachelors degree(BA AB BS)" for row in raw),
    }
    ages = [row["age"] for row in read_rows(examples, "train")]
    assert sorted(ages) == sorted(float(row[0]) for row in raw)


def test_labels_are_those_of_the_spec(small_census, synthetic):
    """A label is a function of its raw column alone."""
    spec = SourceConfig(
        dataset="census_income", options={"data_dir": str(small_census)}
    ).make_spec()
    column = np.array(["50000+.", "- 50000."], object)
    block = Block({"income_50k": column}, "two rows", np.array([1, 2]))
    [task] = spec.select_tasks(["income"])
    np.testing.assert_array_equal(task.labels(block, spec.missing_values), [1, 0])
    assert label_column("income") == "label/income"


def test_a_data_set_goes_through_json(tmp_path):
    for source in (
        write_shop(tmp_path / "shop"),
        SourceConfig(dataset="synthetic", tasks=("click",), options={"rows": 600, "seed": 3}),
    ):
        assert SourceConfig.from_json(source.to_json()) == source


@pytest.mark.parametrize("rule", [SplitRule(by="user"), SplitRule((0.5, 0.2, 0.3), "time:seconds")])
def test_one_set_of_files_is_split_by_a_rule(tmp_path, generate, rule):
    rows = [f"u{n},red,{n},1,{'no' if n % 3 else 'yes'},0.5,{n},a" for n in range(60)]
    for n in range(2):
        (tmp_path / f"{n}.csv").write_text("\n".join([HEADER, *rows[n::2]]) + "\n")
    source = SourceConfig(spec=SPEC, files={"files": f"{tmp_path}/*.csv"}, split=rule)
    assert SourceConfig.from_json(source.to_json()) == source
    examples = generate(source)
    prices = {s: [row["price"] for row in read_rows(examples, s)] for s in SPLITS}
    assert sorted(itertools.chain(*prices.values())) == list(range(60))
    assert all(prices.values())
    if rule.time_column:
        assert [max(prices[s]) for s in SPLITS] == [29, 41, 59]
    with open(f"{examples.uri}/examples.json") as file:
        split = json.load(file)["split"]
    assert split["files"] == [f"{tmp_path}/0.csv", f"{tmp_path}/1.csv"]
    assert split["rule"]["by"] == rule.by


def test_a_rule_needs_one_set_of_files():
    rule, files = SplitRule(), {"files": "d/*.csv"}
    assert SourceConfig(spec=SPEC, files=files, split=rule).patterns() == (
        "d/",
        dict.fromkeys(SPLITS, "*.csv"),
    )
    # Without a rule, the text is what it was before there were rules.
    assert "split" not in json.loads(SourceConfig(dataset="synthetic").to_json())
    with pytest.raises(InputError, match=r"need files for train, validation, test; received files"):
        SourceConfig(spec=SPEC, files=files)
    with pytest.raises(InputError, match=r"need one set of files to split; received train"):
        SourceConfig(spec=SPEC, files={"train": "a.csv"}, split=rule)
    with pytest.raises(InputError, match=r"splits the rows: the shares 0.5,0.2,0.2 sum to 0.9, n"):
        SourceConfig(spec=SPEC, files=files, split=SplitRule((0.5, 0.2, 0.2)))


def test_files_share_the_longest_directory_before_any_glob():
    def patterns(**files):
        return SourceConfig(spec=SPEC, files=files).patterns()

    assert patterns(train="/d/a/t*.csv", validation="/d/a/v.csv", test="/d/b/x.csv") == (
        "/d/",
        {"train": "a/t*.csv", "validation": "a/v.csv", "test": "b/x.csv"},
    )
    base, below = patterns(train="d/{SPAN}/a", validation="d/{SPAN}/b", test="d/{SPAN}/c")
    assert (base, below["test"]) == ("d/", "{SPAN}/c")
    base, below = patterns(train="a.csv", validation="b.csv", test="c.csv")
    assert (base, below["test"]) == (".", "c.csv")


def test_an_incomplete_data_set_is_rejected():
    with pytest.raises(InputError, match="either a built-in data set or a spec"):
        SourceConfig()
    with pytest.raises(InputError, match="either a built-in data set or a spec"):
        SourceConfig(dataset="synthetic", spec=SPEC)
    with pytest.raises(InputError, match=r"need files for train, validation, test; received test"):
        SourceConfig(spec=SPEC, files={"test": "x.csv"})
    with pytest.raises(
        InputError, match="unknown data set 'news'; there are synthetic, synthetic_logs, syn"
    ):
        SourceConfig(dataset="news").make_spec()


def test_a_tfds_data_set_is_read_as_the_original_files_are(
    small_census, census, tmp_path, generate
):
    from mptrec_tf.data.sets.census_income import rows as census_income
    from mptrec_tf.data.sets.tfds_builders import CensusIncome

    builder = CensusIncome(original_files=str(small_census), data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    spec = census_income.make_spec()
    files = {split: f"tfds:{builder.data_path}#{split}" for split in SPLITS}
    generated = generate(SourceConfig(spec=spec, files=files))
    fingerprints = [e.get_string_custom_property("rows_fingerprint") for e in (generated, census)]
    assert fingerprints[0] == fingerprints[1]


def test_classes_and_levels_are_those_of_the_training_rows(tmp_path, generate):
    source = write_shop(tmp_path / "shop")
    tasks = parse(
        "name: shop\ncategorical: [color]\ntasks:\n"
        "- {name: who, kind: classes, label: user}\n"
        "- {name: mark, kind: classes, label: unused, others: true}\n"
        "- {name: pay, kind: ordinal, label: seconds, most: 40, where: {user: [ann, bob]}}\n",
        "more.yaml",
    ).tasks
    spec = dataclasses.replace(SPEC, tasks=(*SPEC.tasks, *tasks[:2]), weight=None)
    examples = generate(dataclasses.replace(source, spec=spec))
    *_, who, mark = read_description(examples.uri)["spec"].tasks
    assert who.found == ("ann", "bob", "eve")
    assert mark.output_names == ("a", "b", "c", "d", "others")
    labels = [
        (row["user"], row["label/who"], row["label/mark"])
        for split in SPLITS
        for row in read_rows(examples, split)
    ]
    assert sorted(labels) == [
        *((b"ann", 0, 0), (b"ann", 0, 2)),
        *((b"bob", 1, 1), (b"bob", 1, 4), (b"bob", 1, 4)),
        *((b"eve", 2, 3), (b"eve", 2, 4)),
    ]
    # Splits are read side by side: only one of them is wrong.
    source = write_shop(tmp_path / "half", test=["bob,green,7,0,yes,1,31,g"])
    with pytest.raises(InputError, match=r"train.csv, line 4, .* .30.5. is no level"):
        generate(dataclasses.replace(source, spec=dataclasses.replace(spec, tasks=tasks)))
