import gzip

import numpy as np
import pytest

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.sets.census_income.rows import CensusIncome
from mptrec_tf.data.sets.census_income.spec import COLUMNS, NUMERIC, TASKS, make_spec
from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError


def lines(source, split):
    return np.concatenate([block.lines for block in read_split(source, split)])


def column(source, split, name):
    return np.concatenate([block.column(name) for block in read_split(source, split)])


def test_the_papers_spec():
    spec = make_spec()
    assert spec.task_names == ("income", "marital", "education")
    assert (len(spec.categorical), len(spec.numeric)) == (28, 11)
    assert not {"income_50k", "marital_stat", "education"} & set(spec.feature_names)
    assert [feature.name for feature in spec.numeric] == NUMERIC
    assert {feature.scale for feature in spec.numeric} == {"min_max"}


@pytest.mark.parametrize(
    "tasks", [["income"], ["marital"], ["weeks_worked", "capital_gains"], list(TASKS)]
)
def test_label_columns_are_not_features(tasks):
    spec = make_spec(tasks)
    labels = {"income_50k", *(TASKS[name].label for name in tasks)}
    assert set(spec.feature_names) == set(COLUMNS) - labels


@pytest.mark.parametrize(
    ("task", "positive", "negative"),
    [
        ("over_40", "41", "40"),
        ("private_worker", "Private", "Federal government"),
        ("hourly_wage", "1", "0"),
        ("in_high_school", "High school", "Not in universe"),
        ("black", "Black", "White"),
        ("in_union", "Yes", "No"),
        ("capital_loss", "1590", "0"),
        ("dividends", "2", "0"),
        ("large_employer", "6", "5"),
        ("both_parents", "Both parents present", "Mother only present"),
        ("no_own_business", "2", "0"),
    ],
)
def test_label_rules_of_the_benchmark(task, positive, negative):
    of = TASKS[task]
    assert of.label in COLUMNS
    assert [of.label_of(value, MISSING_VALUES) for value in (positive, negative)] == [1, 0]


def test_unknown_task():
    message = "unknown task 'love': data set 'census_income' has income, marital, education, weeks"
    with pytest.raises(InputError, match=message):
        make_spec(["income", "love"])


def test_the_real_files(shared_data):
    source = CensusIncome(str(shared_data))
    blocks = {split: list(read_split(source, split)) for split in SPLITS}
    assert {split: sum(map(len, rows)) for split, rows in blocks.items()} == {
        "train": 53206,
        "validation": 13302,
        "test": 13302,
    }
    positives = {
        task: [
            int(sum(TASKS[task].labels(b, MISSING_VALUES).sum() for b in blocks[s])) for s in SPLITS
        ]
        for task in ("income", "marital", "education")
    }
    assert positives == {
        "income": [3309, 806, 820],
        "marital": [23012, 5719, 5740],
        "education": [5343, 1303, 1322],
    }


def test_the_first_row(small_census):
    block = next(read_split(CensusIncome(str(small_census)), "train"))
    first = {name: values[0] for name, values in block.columns.items()}
    assert list(first) == COLUMNS
    with open(small_census / "census-income.data") as file:
        assert list(first.values()) == [value.strip() for value in file.readline().split(",")]


def test_the_test_file_is_halved(small_census):
    source = CensusIncome(str(small_census))
    assert lines(source, "train").tolist() == list(range(1, 2001))
    assert lines(source, "validation").tolist() == list(range(1, 1001))
    assert lines(source, "test").tolist() == list(range(1001, 2001))
    with gzip.open(small_census / "census-income.test.gz", "rt") as file:
        ages = [line.split(",")[0] for line in file]
    assert column(source, "validation", "age").tolist() == ages[:1000]
    assert column(source, "test", "age").tolist() == ages[1000:]


def write_rows(folder, row, train=3, test=3):
    (folder / "census-income.data").write_text(row * train)
    (folder / "census-income.test").write_text(row * test)
    return str(folder)


@pytest.fixture
def row(small_census):
    with open(small_census / "census-income.data") as file:
        return file.readline()


def test_an_odd_test_file(tmp_path, row):
    source = CensusIncome(write_rows(tmp_path, row, test=5))
    assert lines(source, "validation").tolist() == [1, 2]
    assert lines(source, "test").tolist() == [3, 4, 5]


@pytest.mark.parametrize("split", SPLITS)
def test_an_empty_file_has_no_rows(tmp_path, split):
    source = CensusIncome(write_rows(tmp_path, "", 0, 0))
    assert list(read_split(source, split)) == []


def test_an_unknown_split(tmp_path):
    with pytest.raises(InputError, match="data set 'census_income' has no tset rows"):
        next(read_split(CensusIncome(write_rows(tmp_path, "")), "tset"))


def test_a_row_with_a_value_too_few(tmp_path, row):
    folder = write_rows(tmp_path, row)
    with open(tmp_path / "census-income.data", "a") as file:
        file.write(row.partition(",")[2])
    message = "census-income.data, line 4: 41 columns, but the header in the spec has 42"
    with pytest.raises(InputError, match=message):
        list(read_split(CensusIncome(folder), "train"))


def test_an_invalid_income(tmp_path, row):
    bad = row.replace("- 50000.", "50000")
    [block] = read_split(CensusIncome(write_rows(tmp_path, bad)), "train")
    message = (
        "census-income.data, line 1, column 'income_50k': '50000' is neither positive nor "
        r"negative for task 'income'; expected '50000\+.' or '- 50000.'"
    )
    with pytest.raises(InputError, match=message):
        TASKS["income"].labels(block, MISSING_VALUES)


def test_missing_files(tmp_path):
    message = "holds neither census-income.data nor census-income.data.gz; give the directory of"
    with pytest.raises(InputError, match=message):
        CensusIncome(str(tmp_path))


def test_an_unknown_file_system():
    with pytest.raises(InputError, match=r"cannot look into nosuch://bucket: .*nosuch"):
        CensusIncome("nosuch://bucket")


def test_opened_by_name(small_census):
    source = open_source("census_income", data_dir=str(small_census), tasks=["income"])
    assert source.spec.task_names == ("income",)


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (
            "census_income",
            {"rows": 10},
            "data set 'census_income' does not take rows; it takes data_dir",
        ),
        (
            "synthetic",
            {"data_dir": "d"},
            "data set 'synthetic' does not take data_dir; it takes rows, seed",
        ),
        ("synthetic", {"rows": 5}, "the number of rows must be 6 or more, not 5"),
        ("lastfm", {}, "unknown data set 'lastfm'; there are synthetic, synthetic_logs, sy"),
    ],
)
def test_options_that_do_not_fit(dataset, options, message):
    with pytest.raises(InputError, match=message):
        open_source(dataset, **options)
