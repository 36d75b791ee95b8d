import gzip
from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sets import tfds_builders
from mptrec_tf.data.sets.byte_rec.sample import write_sample
from mptrec_tf.data.sets.byte_rec.spec import COLUMNS, FILE, TASKS, make_spec
from mptrec_tf.data.sets.registry import DATASETS, open_source
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import load_rows

# As in the original: -1 is missing, a duration of a day, and rows in no order.
ROWS = """\
29413	-1	3598380	812434	10	2	0	0	1022	3682	53086717097	70000
10429	97	1985638	794202	17	3	1	0	-1	8628	53085855309	11
161	-1	640774	754	112	1	1	1	-1	24940	53087123508	10
9238	289	1985642	129138	-1	0	0	0	972	16293	53085903230	0
"""


def write(folder, text, name=FILE):
    folder.mkdir(exist_ok=True)
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "wt", newline="") as file:
        file.write(text)
    return str(folder)


def number_rows(count):
    """Rows of different users and videos."""
    return "".join(
        f"{row % 40}\t{row % 7 - 1}\t{row}\t{row % 9}\t{row % 5}\t{row % 3}\t{row % 2}\t"
        f"{int(row % 5 == 0)}\t{row % 4 - 1}\t{row % 41}\t{53_000_000_000 + row}\t{row % 21}\n"
        for row in range(count)
    )


def read_all(source):
    """Each row's values and place, by split."""
    return {
        split: [
            (tuple(block.text(name)[row] for name in COLUMNS), block.where(row))
            for block in read_split(source, split)
            for row in range(len(block))
        ]
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("byte_rec")
    write_sample(str(folder), 3000, 1, lambda rows: None)
    return str(folder)


def test_the_duration_is_a_label_or_a_feature():
    spec = make_spec()
    assert spec.task_names == ("finish", "like", "long_duration")
    ids = ("uid", "user_city", "item_id", "author_id", "item_city", "channel", "music_id", "device")
    assert spec.feature_names == ids
    assert spec.user_id == "uid"
    [duration] = make_spec(["finish", "like"]).numeric
    assert (duration.name, duration.scale, duration.missing) == ("duration_time", "log", "mean")
    assert make_spec(["like"]).feature_names == (*ids, "duration_time")
    with pytest.raises(InputError, match=r"unknown task 'finnish'.*did you mean 'finish'"):
        make_spec(["finnish"])


def test_the_rows_are_those_of_the_file(tmp_path):
    rows = read_all(open_source("byte_rec", data_dir=write(tmp_path, ROWS)))
    found = sorted((row for part in rows.values() for row in part), key=lambda row: row[1])
    assert ["\t".join(values) for values, _ in found] == ROWS.splitlines()
    assert [where for _, where in found] == [f"{tmp_path}/{FILE}, line {n}" for n in (1, 2, 3, 4)]


def test_labels(tmp_path):
    source = open_source("byte_rec", data_dir=write(tmp_path, ROWS))
    labels = {}
    for split in SPLITS:
        for block in read_split(source, split):
            for name, task in TASKS.items():
                made = task.labels(block, source.spec.missing_values)
                labels.setdefault(name, {}).update(zip(block.lines.tolist(), made, strict=True))
    assert labels == {
        "finish": {1: 0, 2: 1, 3: 1, 4: 0},
        "like": {1: 0, 2: 0, 3: 1, 4: 0},
        "long_duration": {1: 1, 2: 1, 3: 0, 4: 0},  # more than ten seconds
    }


def test_a_duration_of_minus_one_is_missing(tmp_path):
    text = number_rows(210).replace("\t20\n", "\t-1\n")
    source = open_source("byte_rec", tasks=["finish"], data_dir=write(tmp_path / "files", text))
    data = prepare(source, str(tmp_path / "data"))
    rows = [load_rows(data, split, ["finish"]).columns["numeric"].numpy() for split in SPLITS]
    numbers, missing = np.concatenate(rows).T
    assert missing.sum() == 10
    assert set(numbers[missing == 1]) == {0.0}  # the mean


def test_the_split_depends_on_user_and_video_alone(tmp_path):
    lines = number_rows(2000).splitlines(keepends=True)
    first = read_all(open_source("byte_rec", data_dir=write(tmp_path / "a", "".join(lines))))
    again = open_source(
        "byte_rec",
        tasks=["like"],
        data_dir=write(tmp_path / "b", "".join(reversed(lines)), f"{FILE}.gz"),
    )
    reverse = read_all(again)
    for split in SPLITS:
        assert Counter(v for v, _ in first[split]) == Counter(v for v, _ in reverse[split])
    sizes = [len(first[split]) for split in SPLITS]
    assert sum(sizes) == 2000
    assert sizes == pytest.approx([1600, 200, 200], abs=60)
    assert describe_split(again)["rule"]["columns"] == ["uid", "item_id"]
    # Another row of a user and a video is where the first one is.
    other = "".join(line.replace("\t53000", "\t54000") for line in lines)
    both = read_all(open_source("byte_rec", data_dir=write(tmp_path / "c", "".join(lines) + other)))
    assert [len(both[split]) for split in SPLITS] == [2 * size for size in sizes]


def test_quotes_and_ids_above_2_to_53_are_text(tmp_path):
    text = '9007199254740993\t"3\t9007199254740992\t1\t1\t0\t0\t0\t-1\t1\t53\t9\n'
    rows = read_all(open_source("byte_rec", data_dir=write(tmp_path, text)))
    [(values, _)] = [row for part in rows.values() for row in part]
    assert values[:3] == ("9007199254740993", '"3', "9007199254740992")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROWS + "1\t2\t3\n", "line 5: 3 columns, but the header in the spec has 12"),
        (ROWS.replace("\t", ","), "line 1: 1 columns, but the header in the spec has 12"),
    ],
)
def test_malformed_lines(tmp_path, text, message):
    source = open_source("byte_rec", data_dir=write(tmp_path, text))
    with pytest.raises(InputError, match=f"{FILE}, {message}"):
        read_all(source)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("161\t-1\t640774\t754\t112\t1\t2", "column 'finish': '2' is neither positive nor neg"),
        ("161\t-1\t640774\t754\t112\t1\t-1", "column 'finish': '-1' is"),
    ],
)
def test_labels_that_are_neither(tmp_path, wrong, message):
    text = number_rows(300) + ROWS.splitlines()[2].replace("161\t-1\t640774\t754\t112\t1\t1", wrong)
    source = open_source("byte_rec", data_dir=write(tmp_path / "in", text))
    with pytest.raises(InputError, match=f"line 301, {message}"):
        prepare(source, str(tmp_path / "out"))


def test_missing_files(tmp_path):
    message = "holds neither final_track2_train.txt nor final_track2_train.txt.gz; give the dir"
    with pytest.raises(InputError, match=message):
        open_source("byte_rec", data_dir=str(tmp_path))
    with pytest.raises(InputError, match="Byte-Rec cannot be downloaded by a program; get it from"):
        open_source("byte_rec")


def test_the_sample_is_written_alike_and_streamed(tmp_path):
    digests, parts = [], []
    for number, seed in enumerate((1, 1, 2)):
        (tmp_path / str(number)).mkdir()
        write_sample(str(tmp_path / str(number)), 9000, seed, parts.append)
        digests.append((tmp_path / str(number) / FILE).read_bytes())
    assert digests[0] == digests[1] != digests[2]
    assert parts[:2] == [8192, 808]
    lines = digests[0].decode().split("\n")
    assert len(lines) == 9001
    assert {line.count("\t") for line in lines[:-1]} == {11}


def test_the_sample_has_the_original_s_values(sample):
    columns = {name: [] for name in COLUMNS}
    for rows in read_all(open_source("byte_rec", data_dir=sample)).values():
        for values, _ in rows:
            for name, value in zip(COLUMNS, values, strict=True):
                columns[name].append(int(value))
    of = {name: np.array(values) for name, values in columns.items()}
    assert len(of["uid"]) == 3000
    lacking = {name for name, values in of.items() if values.min() == -1}
    assert lacking == {"user_city", "item_city", "music_id"}
    assert set(of["channel"]) == {0, 1, 2, 3, 4}
    assert set(of["finish"]) == set(of["like"]) == {0, 1}
    assert 0.3 < of["finish"].mean() < 0.5
    long = of["duration_time"] > 10
    assert 0.25 < long.mean() < 0.75
    # What is planted: videos of one kind have one length, and long ones are left early.
    assert of["finish"][long].mean() < of["finish"][~long].mean() - 0.05
    by_video = [of["finish"][of["item_id"] == video].mean() for video in range(20)]
    assert np.std(by_video) > 0.1


def test_the_sample_is_prepared(sample, tmp_path):
    data = prepare(open_source("byte_rec", data_dir=sample), str(tmp_path / "data"))
    rows = [data.splits[split]["rows"] for split in SPLITS]
    assert sum(rows) == 3000
    assert rows == pytest.approx([2400, 300, 300], abs=75)
    assert data.spec.task_names == ("finish", "like", "long_duration")


def test_the_builder_reads_the_same_rows(sample, tmp_path):
    builder = tfds.builder("byte_rec", original_files=sample, data_dir=str(tmp_path))
    assert isinstance(builder, tfds_builders.ByteRec)
    builder.download_and_prepare()
    rows = read_all(open_source("byte_rec", data_dir=sample))
    for split in SPLITS:
        [batch] = tfds.as_numpy(builder.as_dataset(split=split, batch_size=4000))
        assert list(batch) == sorted(COLUMNS)
        assert Counter(batch["item_id"]) == Counter(v[2].encode() for v, _ in rows[split])
        assert sorted(batch["duration_time"]) == sorted(float(v[11]) for v, _ in rows[split])


def test_the_builder_needs_the_file(tmp_path):
    builder = tfds.builder("byte_rec", data_dir=str(tmp_path))
    message = "cannot be downloaded by a program; get it from .* its files by original_files"
    with pytest.raises(InputError, match=message):  # --data_dir is no argument of builders
        builder.download_and_prepare()


def test_files_that_are_fingerprinted():
    of = DATASETS.get("byte_rec")
    assert of.files({}) is None
    assert of.files({"data_dir": "d"}) == ("d", dict.fromkeys(SPLITS, f"{FILE}*"))
