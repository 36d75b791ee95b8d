"""Ali-CCP on small files in its original format."""

import gzip
import pickle
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sets.ali_ccp import joined, spec
from mptrec_tf.data.sets.ali_ccp.rows import AliCcp
from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sets.tfds_builders import AliCcp as Builder
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.joining import join_rows
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

BIG = 2**53 + 1  # a float64 does not hold it


def entries(fields):
    """A feature list, and the number of its entries before it."""
    texts = [f"{field}\x02{feature}\x031.0" for field, feature in fields]
    return f"{len(texts)},{chr(1).join(texts)}"


def skeleton_row(sample, click, conversion, common, *fields):
    return f"{sample},{click},{conversion},{common},{entries(fields)}\n"


def user_row(common, *fields):
    return f"{common},{entries(fields)}\n"


USERS = [
    user_row("bb", ("101", 2), ("121", 7), ("109_14", 5)),
    user_row("aa", ("101", BIG), ("109_14", 5), ("109_14", 6)),
]
ROWS = [
    skeleton_row(3, 1, 0, "aa", ("205", 30), ("301", 9351665)),
    skeleton_row(1, 0, 0, "bb", ("205", BIG), ("508", 8)),
    skeleton_row(9, 0, 1, "bb", ("205", 90)),  # a conversion without a click
    skeleton_row(2, 1, 1, "aa", ("301", 9351667), ("205", 20), ("205", 21)),
]


@pytest.fixture
def files(tmp_path):
    """Writes the four files; returns a function that changes one, and gives the directory."""
    contents = {
        "sample_skeleton_train.csv": ROWS,
        "common_features_train.csv": USERS,
        "sample_skeleton_test.csv": ROWS,
        "common_features_test.csv": USERS,
    }

    def write(**changed):
        for name, lines in contents.items():
            key = name.removesuffix(".csv")
            (tmp_path / name).write_text("".join(changed.get(key, lines)), newline="")
        return str(tmp_path)

    return write


def read(source, split="test"):
    """Rows of a split: sample id, then the columns of tasks and features."""
    blocks = list(read_split(source, split))
    names = ("sample_id", "click", "conversion", "101", "121", "205", "508", "301")
    return {
        values[0]: values[1:]
        for block in blocks
        for values in zip(*(block.text(name) for name in names), strict=True)
    }


def test_rows_are_joined(files):
    assert read(AliCcp(files())) == {
        "3": ("1", "0", str(BIG), "", "30", "", "9351665"),
        "1": ("0", "0", "2", "7", str(BIG), "8", ""),
        # The last of two values counts; the conversion without a click is left out.
        "2": ("1", "1", str(BIG), "", "21", "", "9351667"),
    }


@pytest.mark.parametrize(
    ("click", "conversion", "is_kept"),
    [
        *(("1.0", "1", True), ("1 ", "1", True), ("0", "1.0", False), ("0.0", "1 ", False)),
        # What is no label is not left out in silence.
        *(("2", "1", True), ("", "1", True)),
    ],
)
def test_only_a_conversion_without_a_click_is_left_out(files, click, conversion, is_kept):
    row = skeleton_row(4, click, conversion, "aa", ("205", 1))
    rows = read(AliCcp(files(sample_skeleton_test=[*ROWS, row])))
    assert ("4" in rows) == is_kept


def test_rows_know_their_lines(files):
    directory = files()
    [block] = read_split(AliCcp(directory), "test")
    assert block.where(2) == f"{directory}/sample_skeleton_test.csv, line 4"


def test_archives_may_be_extracted_into_folders(files, tmp_path):
    files()
    for of in ("train", "test"):
        folder = tmp_path / f"sample_{of}"
        folder.mkdir()
        for name in (f"sample_skeleton_{of}.csv", f"common_features_{of}.csv"):
            content = (tmp_path / name).read_bytes()
            (tmp_path / name).unlink()
            with gzip.open(folder / f"{name}.gz", "wb") as file:
                file.write(content)
    assert sorted(read(AliCcp(str(tmp_path)))) == ["1", "2", "3"]
    base, patterns = spec.ALI_CCP.files({"data_dir": f"{tmp_path}/"})
    assert (base, patterns["validation"]) == (str(tmp_path), "sample_train/*_train.csv*")
    assert patterns["test"] == "sample_test/*_test.csv*"


def test_files_of_the_directory_come_before_a_folder_of_the_archives(files, tmp_path):
    directory = files()
    (tmp_path / "sample_test").mkdir()
    assert sorted(read(AliCcp(directory))) == ["1", "2", "3"]
    assert spec.ALI_CCP.files({"data_dir": directory})[1]["test"] == "*_test.csv*"


def make_many(rows):
    lines = [
        skeleton_row(n, n % 2, 0, f"u{n * 7 % 20}", ("205", n), ("206", n % 5)) for n in range(rows)
    ]
    users = [user_row(f"u{n}", ("101", n), ("121", n % 3)) for n in range(20)]
    return lines, users


def test_parts_do_not_matter(files, tmp_path):
    lines, users = make_many(500)
    directory = files(sample_skeleton_train=lines, common_features_train=users)

    def run(name, part_bytes):
        (tmp_path / name).mkdir()
        return joined.join_files(
            {"train": f"{directory}/sample_skeleton_train.csv"},
            {"train": f"{directory}/common_features_train.csv"},
            str(tmp_path / name),
            beam.Pipeline,
            part_bytes,
        )

    one, many = run("one", 1 << 20), run("many", 2000)
    assert len(one["train"]) == 1
    assert len(many["train"]) > 5
    assert set(one) == {"train", "validation"}
    rows = {}
    for name, paths in (("one", one), ("many", many)):
        rows[name] = {
            split: {
                sample: (block.text("101")[i], block.text("205")[i])
                for path in of
                for block in joined.read_joined(path)
                for i, sample in enumerate(block.text("sample_id"))
            }
            for split, of in paths.items()
        }
    assert rows["one"] == rows["many"]
    both = rows["one"]["train"] | rows["one"]["validation"]
    assert both == {str(n): (str(n * 7 % 20), str(n)) for n in range(500)}
    assert len(rows["one"]["train"]) + len(rows["one"]["validation"]) == 500
    assert 25 <= len(rows["one"]["validation"]) <= 80  # a tenth
    # Nothing else is left, and a second run writes the same files.
    assert not list((tmp_path / "many").glob("parts-*"))
    again = run("again", 2000)
    for split in ("train", "validation"):
        for first, second in zip(many[split], again[split], strict=True):
            assert Path(first).read_bytes() == Path(second).read_bytes()


def test_rows_are_joined_once_for_a_preparation(files, tmp_path):
    source = AliCcp(files())
    ready = join_rows(source, str(tmp_path / "joined"), beam.Pipeline)
    paths = [path for split in ("train", "test") for path in ready.shards(split)]
    assert all(path.startswith(str(tmp_path / "joined")) for path in paths)
    assert pickle.loads(pickle.dumps(ready)).shards("test") == ready.shards("test")
    assert ready.shards("other") == []


MISTAKES = (
    (
        {"common_features_test": USERS[:1]},
        r"skeleton_test.csv, line 1: .*common_features_test.csv has no common_id 'aa'; both files "
        "must be of the same release",
    ),
    (
        {"common_features_test": [*USERS, USERS[0]]},
        r"common_features_test.csv, line 3: common_id 'bb' comes twice, also in "
        r".*common_features_test.csv, line 1; remove one of them",
    ),
    (
        {"sample_skeleton_test": [ROWS[0], "4,0,0,aa,2,205\x0230\x031.0\n"]},
        "skeleton_test.csv, line 2: its feature list has 1 entries, but feature_count is '2'",
    ),
    (
        {"sample_skeleton_test": [ROWS[0], "4,0,0,aa,1,205:30:1.0\n"]},
        r"skeleton_test.csv, line 2: entry '205:30:1.0' of its feature list has no '\\x02'",
    ),
    (
        {"common_features_test": ["aa,1,101\x0230\n"]},
        r"common_features_test.csv, line 1: entry '30' of its feature list has no '\\x03'",
    ),
    (
        {"sample_skeleton_test": [ROWS[0], "4,0,0,aa\n"]},
        r"skeleton_test.csv, line 2: 4 columns, but the header in the spec has 6",
    ),
)


@pytest.mark.parametrize(("changed", "message"), MISTAKES)
def test_malformed_files(files, tmp_path, changed, message):
    source = open_source("ali_ccp", data_dir=files(**changed))
    with pytest.raises(InputError, match=message):
        prepare(source, str(tmp_path / "prepared"))
    assert not (tmp_path / "prepared").exists()


def test_a_label_that_is_none(files, tmp_path):
    lines, users = make_many(60)
    changed = {"sample_skeleton_train": lines, "common_features_train": users}
    changed["sample_skeleton_test"] = [*ROWS[:2], skeleton_row(4, 2, 0, "aa", ("205", 1))]
    source = open_source("ali_ccp", data_dir=files(**changed))
    with pytest.raises(InputError, match=r"skeleton_test.csv, line 3, column 'click': '2'"):
        prepare(source, str(tmp_path / "prepared"))


def test_files_that_are_missing(files, tmp_path):
    with pytest.raises(InputError, match=r"Ali-CCP cannot be downloaded by a program; get it from"):
        open_source("ali_ccp")
    directory = files()
    (tmp_path / "common_features_test.csv").unlink()
    with pytest.raises(
        InputError, match=r"holds neither common_features_test.csv nor common_features_test.csv.gz"
    ):
        open_source("ali_ccp", data_dir=directory)


def test_a_field_is_a_feature_unless_a_task_needs_it():
    assert "301" in spec.make_spec(["click"]).feature_names
    assert "301" not in spec.make_spec(["click", "scene"]).feature_names
    with pytest.raises(InputError, match=r"unknown task 'clik'.*did you mean 'click'"):
        spec.make_spec(["clik"])


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    directory = tmp_path_factory.mktemp("sample")
    rows = []
    spec.ALI_CCP.write_sample(str(directory), 12_000, 5, rows.append)
    assert sum(rows) == 12_000
    return directory


def test_a_sample_is_the_same_again(sample, tmp_path):
    spec.ALI_CCP.write_sample(str(tmp_path), 12_000, 5, lambda rows: None)
    for path in sample.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert sorted(path.name for path in sample.iterdir()) == [
        "common_features_test.csv",
        "common_features_train.csv",
        "sample_skeleton_test.csv",
        "sample_skeleton_train.csv",
    ]


def test_a_sample_is_prepared(sample, tmp_path):
    source = open_source("ali_ccp", data_dir=str(sample), tasks=["click", "conversion", "scene"])
    data = prepare(source, str(tmp_path / "prepared"))
    rows = {split: data.splits[split]["rows"] for split in SPLITS}
    assert 2390 <= rows["test"] <= 2400
    assert sum(rows.values()) >= 11_980
    [scene] = data.spec.select_tasks(["scene"])
    assert scene.output_names == ("9351665", "9351666", "9351667")
    assert not [path.name for path in (tmp_path / "prepared").glob("joined*")]


def test_labels_of_a_sample_follow_from_its_fields(sample):
    block_of = list(read_split(AliCcp(str(sample)), "train"))
    click = np.concatenate([block.text("click") for block in block_of]) == "1"
    conversion = np.concatenate([block.text("conversion") for block in block_of]) == "1"
    assert not (conversion & ~click).any()
    item = np.concatenate([block.text("206") for block in block_of])
    user = np.concatenate([block.text("101") for block in block_of])
    # Rates by user differ by more than chance would make them, on the other half of the rows.
    half = np.arange(len(click)) % 2 == 0
    seen = {u: click[half & (user == u)].mean() for u in np.unique(user) if (user == u).sum() > 20}
    others = {u: click[~half & (user == u)].mean() for u in seen}
    assert np.corrcoef(list(seen.values()), [others[u] for u in seen])[0, 1] > 0.15
    assert len(np.unique(item)) > 50


def test_tfds(files, tmp_path):
    lines, users = make_many(60)
    directory = files(sample_skeleton_train=lines, common_features_train=users)
    builder = Builder(original_files=directory, data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    counts = {split: builder.info.splits[split].num_examples for split in SPLITS}
    assert counts["test"] == 3
    assert counts["train"] + counts["validation"] == 60
    rows = {row["205"].decode() for row in builder.as_dataset(split="test").as_numpy_iterator()}
    assert rows == {"30", str(BIG), "21"}
