import gzip
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sets import tfds_builders
from mptrec_tf.data.sets.aliexpress.sample import write_sample
from mptrec_tf.data.sets.aliexpress.spec import CATEGORICAL, COLUMNS, COUNTRIES, NUMERIC, make_spec
from mptrec_tf.data.sets.registry import DATASETS, open_source
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

HEADER = ",".join(COLUMNS)


def make_row(search, click, conversion, number="0.10526300000000001"):
    categorical = [str((search + place) % 7) for place in range(16)]
    return ",".join(
        [str(search), *categorical, number, *["0.0"] * 30, *["0"] * 32, str(click), str(conversion)]
    )


def write(folder, rows, name):
    folder.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "wt") as file:
        file.write("\n".join([HEADER, *rows]) + "\n")


@pytest.fixture
def originals(tmp_path):
    """Small folders of all countries: 40 searches of three rows, and two of test rows."""
    folder = tmp_path / "originals"
    for number, country in enumerate(COUNTRIES):
        train = [make_row(s, int(r == 0), int(r == s == 0)) for s in range(40) for r in range(3)]
        write(folder / f"AliExpress_{country}", train, "train.csv.gz" if number else "train.csv")
        test = [make_row(3, 0, 0), make_row(90 + number, 1, 1)]
        write(folder / f"AliExpress_{country}", test, "test.csv")
    return folder


def read_all(source, names=("country", "search_id", "click", "conversion")):
    """Each row's values, by split."""
    return {
        split: [
            row
            for block in read_split(source, split)
            for row in zip(*(block.text(name) for name in names), strict=True)
        ]
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aliexpress")
    write_sample(str(folder), 8000, 1, lambda rows: None)
    return str(folder)


def describe(tasks):
    return {task.name: (task.label, task.given, task.where) for task in make_spec(tasks).tasks}


def test_a_new_country_is_a_new_task():
    spec = make_spec()
    assert spec.task_names == ("click", "conversion", "click_us")
    assert spec.feature_names == (*CATEGORICAL, *NUMERIC)
    assert (len(spec.categorical), len(spec.numeric)) == (16, 63)
    others = {"country": ("ES", "FR", "NL")}
    assert describe(spec.task_names) == {
        "click": ("click", None, others),
        "conversion": ("conversion", "click", others),
        "click_us": ("click", None, {"country": ("US",)}),
    }
    assert describe(["click", "conversion"]) == {
        "click": ("click", None, {}),
        "conversion": ("conversion", "click", {}),
    }
    assert describe(["click_nl", "conversion_nl"]) == {
        "click_nl": ("click", None, {"country": ("NL",)}),
        "conversion_nl": ("conversion", None, {"country": ("NL",)}),
    }


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["clik"], "unknown task 'clik'.*did you mean 'click'"),
        (["click", "click_ru"], "unknown task 'click_ru': data set 'aliexpress' has click, conv"),
        (["conversion"], "given names 'click', which is no task of the spec"),
        (
            ["click_us", "click_nl", "click", "click_es", "click_fr"],
            "no country is left for task 'click'",
        ),
    ],
)
def test_tasks_that_are_rejected(tasks, message):
    with pytest.raises(InputError, match=message):
        make_spec(tasks)


def test_searches_stay_together(originals):
    source = open_source("aliexpress", data_dir=str(originals))
    rows = read_all(source)
    assert Counter(country for country, *_ in rows["test"]) == dict.fromkeys(COUNTRIES, 2)
    searches = {split: {row[:2] for row in rows[split]} for split in ("train", "validation")}
    assert not searches["train"] & searches["validation"]
    assert len(searches["train"] | searches["validation"]) == 40 * 4
    assert {split: len(rows[split]) for split in searches} == {
        split: 3 * len(of) for split, of in searches.items()
    }
    # By a hash of the search alone: the same ones in each country, about a tenth.
    by_country = [{s for c, s in searches["validation"] if c == country} for country in COUNTRIES]
    assert all(of == by_country[0] for of in by_country)
    assert 1 <= len(by_country[0]) <= 8
    total = sum(len(rows[split]) for split in searches)
    assert (total, Counter(row[2] for s in searches for row in rows[s])["1"]) == (480, 160)
    estimates = [source.estimated_rows(split) for split in SPLITS]
    assert estimates[:2] == pytest.approx([0.9 * 484, 0.1 * 484], rel=0.3)  # .gz is estimated
    assert estimates[2] == 12  # with headers


def test_labels_by_country(originals):
    source = open_source("aliexpress", data_dir=str(originals))
    blocks = list(read_split(source, "test"))
    labels = {
        task.name: np.concatenate([task.labels(b, source.spec.missing_values) for b in blocks])
        for task in source.spec.tasks
    }
    nan = np.nan
    np.testing.assert_array_equal(labels["click"], [0, 1, 0, 1, 0, 1, nan, nan])
    np.testing.assert_array_equal(labels["conversion"], [0, 1, 0, 1, 0, 1, nan, nan])
    np.testing.assert_array_equal(labels["click_us"], [nan] * 6 + [0, 1])
    number = np.concatenate([block.numbers("numerical_1") for block in blocks])
    np.testing.assert_array_equal(number, np.full(8, 0.105263, np.float32))


def test_some_countries(originals):
    options = {"data_dir": f"{originals}/", "tasks": ["click", "click_us"]}
    rows = read_all(open_source("aliexpress", countries="US, ES", **options))
    assert list(dict.fromkeys(country for country, *_ in rows["train"])) == ["US", "ES"]
    with pytest.raises(InputError, match="task 'click_us' is over rows of US, and --countries=NL"):
        open_source("aliexpress", countries="NL", **options)
    with pytest.raises(InputError, match="task 'click' is over rows of NL, ES, FR, and --count"):
        open_source("aliexpress", countries="US", **options)


@pytest.mark.parametrize(
    ("countries", "message"),
    [
        ("NL,RU", "--countries=NL,RU: there is no country 'RU'; there are NL, ES, FR, US"),
        ("nl", "there is no country 'nl'; there are NL, ES, FR, US; did you mean 'NL'"),
        ("NL,ES,NL", "--countries=NL,ES,NL names NL twice"),
        (",", "--countries names none; give some of NL,ES,FR,US"),
    ],
)
def test_countries_that_are_rejected(originals, countries, message):
    with pytest.raises(InputError, match=message):
        open_source("aliexpress", data_dir=str(originals), countries=countries)


def test_missing_folders_and_files(originals, tmp_path):
    with pytest.raises(InputError, match="AliExpress cannot be downloaded by a program; get it fr"):
        open_source("aliexpress")
    (originals / "AliExpress_FR" / "test.csv").unlink()
    with pytest.raises(InputError, match=r"AliExpress_FR holds neither test.csv nor test.csv.gz"):
        open_source("aliexpress", data_dir=str(originals))
    (originals / "AliExpress_US").rename(tmp_path / "elsewhere")
    message = "originals has no folder AliExpress_US; give the directory of all folders by --data_d"
    with pytest.raises(InputError, match=message):
        open_source("aliexpress", data_dir=str(originals))
    rows = read_all(
        open_source("aliexpress", data_dir=str(originals), tasks=["click"], countries="NL,ES")
    )
    assert len(rows["test"]) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (make_row(7, 1, 0) + ",0", "line 122: 83 columns, but the header has 82"),
        (make_row(7, 2, 0), "line 122, column 'click': '2' is neither positive nor negative"),
        (make_row(7, 1, 0, ""), "line 122, column 'numerical_1': '' is not a finite number"),
    ],
)
def test_malformed_rows(originals, tmp_path, line, message):
    with open(originals / "AliExpress_NL" / "train.csv", "a") as file:
        file.write(line + "\n")
    options = {"tasks": ["click"], "countries": "NL"}
    source = open_source("aliexpress", data_dir=str(originals), **options)
    with pytest.raises(InputError, match=f"AliExpress_NL/train.csv, {message}"):
        prepare(source, str(tmp_path / "out"))


def test_a_file_without_a_column(originals, tmp_path):
    path = originals / "AliExpress_NL" / "train.csv"
    path.write_text(path.read_text().replace("search_id", "session_id", 1))
    source = open_source("aliexpress", data_dir=str(originals))
    with pytest.raises(InputError, match=r"train.csv has no column 'search_id'"):
        read_all(source)


@pytest.mark.parametrize("content", ["", HEADER, f"{HEADER}\n\n"])
@pytest.mark.parametrize(("name", "split"), [("train", "validation"), ("test", "test")])
def test_a_country_without_rows(originals, content, name, split):
    (originals / "AliExpress_NL" / f"{name}.csv").write_text(content)
    message = rf"AliExpress_NL/{name}.csv has no rows; .* leave NL out of --countries"
    with pytest.raises(InputError, match=message):
        list(read_split(open_source("aliexpress", data_dir=str(originals)), split))


def test_ids_above_2_to_53_are_text(originals):
    large = [9007199254740992, 9007199254740993]
    write(originals / "AliExpress_NL", [make_row(s, 0, 0) for s in large], "test.csv")
    rows = read_all(open_source("aliexpress", data_dir=str(originals)))
    assert [row[1] for row in rows["test"][:2]] == [str(search) for search in large]


def test_the_sample_is_written_alike(tmp_path):
    made, parts = [], []
    for number, seed in enumerate((1, 1, 2)):
        (tmp_path / str(number)).mkdir()
        write_sample(str(tmp_path / str(number)), 1000, seed, parts.append)
        files = sorted((tmp_path / str(number)).glob("*/*"))
        made.append({str(f.relative_to(tmp_path / str(number))): f.read_bytes() for f in files})
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert list(made[0]) == [
        f"AliExpress_{c}/{s}.csv" for c in sorted(COUNTRIES) for s in ("test", "train")
    ]
    assert parts[:2] == [175, 75]
    assert [content.count(b"\n") for content in made[0].values()] == [76, 176] * 4
    assert {content.split(b"\n")[0].decode() for content in made[0].values()} == {HEADER}


@pytest.mark.parametrize("rows", [500, 1000, 1500])
def test_a_small_sample_has_rows_of_all_splits(tmp_path, rows):
    write_sample(str(tmp_path), rows, 1, lambda rows: None)
    read = read_all(open_source("aliexpress", data_dir=str(tmp_path)))
    assert all(read.values())
    # A search is of one country and of one split.
    places = {(split, country, search) for split, of in read.items() for country, search, *_ in of}
    assert len({search for _, _, search in places}) == len(places)


def test_the_sample_has_planted_structure(sample):
    names = (
        "country",
        "search_id",
        "click",
        "conversion",
        "categorical_1",
        "categorical_16",
        "numerical_1",
        "numerical_40",
    )
    rows = read_all(open_source("aliexpress", data_dir=sample), names)
    every = [row for split in SPLITS for row in rows[split]]
    assert len(every) == 8000
    click = np.array([int(row[2]) for row in every])
    conversion = np.array([int(row[3]) for row in every])
    assert 0.1 < click.mean() < 0.3
    assert 0.02 < conversion.mean() < click.mean() / 2
    assert not conversion[click == 0].any()
    # A search has one user: columns of users have one value in it, those of items have several.
    by_search = {}
    for row in rows["train"]:
        by_search.setdefault(row[:2], []).append(row)
    whole = [of for of in by_search.values() if len(of) == 16]
    assert len(whole) > 0.8 * len(by_search)
    assert all(len({(row[4], row[6]) for row in of}) == 1 for of in whole)
    assert np.mean([len({row[7] for row in of}) for of in whole]) > 5
    # An item's number tells how much it is liked.
    number = np.array([float(row[7]) for row in every])
    assert 0 <= number.min() < number.max() <= 1
    means = [click[number == value].mean() for value, n in Counter(number).items() if n > 200]
    assert np.ptp(means) > 0.1


def test_the_sample_is_prepared(sample, tmp_path):
    tasks = ["click", "conversion", "click_us", "conversion_us"]
    data = prepare(open_source("aliexpress", data_dir=sample, tasks=tasks), str(tmp_path / "data"))
    labelled = {
        task.name: [task.count_labelled(data.splits[split]) for split in SPLITS]
        for task in data.spec.tasks
    }
    assert labelled["click"] == labelled["conversion"]
    assert labelled["click_us"] == labelled["conversion_us"]
    assert labelled["click"][2] == 3 * labelled["click_us"][2] == 1800
    assert sum(labelled["click"]) == 6000
    train, validation, _ = labelled["click"]
    assert 0.04 < validation / (train + validation) < 0.16


def test_the_builder_reads_the_same_rows(originals, tmp_path):
    builder = tfds.builder(
        "aliexpress", original_files=str(originals), data_dir=str(tmp_path / "tfds")
    )
    assert isinstance(builder, tfds_builders.AliExpress)
    builder.download_and_prepare()
    rows = read_all(open_source("aliexpress", data_dir=str(originals)))
    for split in SPLITS:
        [batch] = tfds.as_numpy(builder.as_dataset(split=split, batch_size=500))
        assert list(batch) == sorted([*COLUMNS, "country"])
        found = zip(*(batch[c].tolist() for c in ("country", "search_id", "click")), strict=True)
        expected = Counter(tuple(v.encode() for v in row[:3]) for row in rows[split])
        assert Counter(found) == expected
        np.testing.assert_array_equal(batch["numerical_1"], np.float32(0.105263))


def test_files_that_are_fingerprinted():
    of = DATASETS.get("aliexpress")
    assert of.files({}) is None
    base, patterns = of.files({"data_dir": "d", "countries": "NL"})
    assert (base, list(patterns)) == ("d", list(SPLITS))
    assert patterns["train"] == patterns["validation"] == "AliExpress_??/train.csv*"
    assert patterns["test"] == "AliExpress_??/test.csv*"
