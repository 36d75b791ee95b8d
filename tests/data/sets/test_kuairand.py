import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.sets import tfds_builders
from mptrec_tf.data.sets.kuairand.rows import KuaiRand
from mptrec_tf.data.sets.kuairand.spec import KUAIRAND, ORIGIN, TASKS, make_spec
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

# As the public description has them.
LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab"
)
USERS = (
    "user_id,user_active_degree,is_lowactive_period,is_live_streamer,is_video_author,"
    "follow_user_num,follow_user_num_range,fans_user_num,fans_user_num_range,friend_user_num,"
    "friend_user_num_range,register_days,register_days_range,"
    + ",".join(f"onehot_feat{n}" for n in range(18))
)
VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,video_duration,"
    "server_width,server_height,music_id,music_type,tag"
)
BIG = 2**53 + 1  # no float64
HOT = (",".join(map(str, range(18))), "1,2,3,4,," + ",".join(["0.0"] * 13))
USER_ROWS = (
    f'{BIG},full_active,0,0,1,5,"(0,10]",312,"[100,1k)",0,0,3624,730+,{HOT[0]}',
    f'{BIG + 1},UNKNOWN,1,0,0,,"500+",0,0,7,"[5,30)",21,15-30,{HOT[1]}',
)
VIDEO_ROWS = (
    '10,441,NORMAL,2022-04-10,LongImport,0.0,87433.0,720.0,1280.0,9155697141,9.0,"39,2"',
    "11,441,AD,,Web,1.0,,,,,,",
)


def row(user, video, date, time, signals="0,0,0,0,0,0,0", played=0, rand=0):
    return f"{user},{video},{date},{100 * time},16{time},{signals},{played},17200,0,0,0,{rand},1"


# Each log has its rows in no order, and one that belongs to the other one's days.
LOGS = {
    "log_standard_4_08_to_4_21_pure.csv": (
        row(BIG + 1, 11, 20220421, 1, "1,0,0,0,0,0,1", 17200),
        row(BIG, 10, 20220408, 2),
        row(BIG, 10, 20220422, 3),
    ),
    "log_standard_4_22_to_5_08_pure.csv": (
        row(BIG, 10, 20220508, 4, "1,1,1,1,1,1,0", 9000),
        row(BIG, 11, 20220428, 5),
        row(BIG + 1, 10, 20220429, 6),
        row(BIG + 1, 10, 20220420, 7),
    ),
    "log_random_4_22_to_5_08_pure.csv": (
        row(BIG, 11, 20220501, 8, rand=1),
        row(BIG, 10, 20220428, 9, rand=1),
        row(BIG + 1, 11, 20220429, 10, "0,0,0,0,0,1,0", 1, rand=1),
    ),
}


def write_files(folder, **changed):
    """Writes the files as they are published; `changed` has other rows by the name's beginning."""
    files = {name: (LOG, *rows) for name, rows in LOGS.items()}
    files["user_features_pure.csv"] = (USERS, *USER_ROWS)
    files["video_features_basic_pure.csv"] = (VIDEOS, *VIDEO_ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (header, *rows) in files.items():
        others = [of for start, of in changed.items() if name.startswith(start)]
        lines = [header, *(others[0] if others else rows)]
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return str(folder)


@pytest.fixture
def source(tmp_path):
    return KuaiRand(write_files(tmp_path), tuple(TASKS))


def read(source, split, column):
    return np.concatenate([block.text(column) for block in read_split(source, split)]).tolist()


def test_the_spec():
    spec = make_spec(tuple(TASKS))
    assert spec.user_id == "user_id"
    assert make_spec().task_names == ("click", "like", "follow", "long_view")
    later = {"play_time_ms", "profile_stay_time", "comment_stay_time", "is_profile_enter"}
    labels = {task.label for task in TASKS.values()}
    # Neither of these is known when a video is chosen; the features do not depend on the tasks.
    assert not (later | labels | {"is_rand", "visible_status"}) & set(spec.feature_names)
    assert spec.features == make_spec(["hate"]).features
    columns = [*LOG.split(","), *USERS.split(",")[1:], *VIDEOS.split(",")[1:]]
    assert list(KUAIRAND.columns) == columns
    assert set(spec.feature_names) <= set(columns)
    with pytest.raises(InputError, match="unknown task 'share': data set 'kuairand' has click, l"):
        make_spec(["share"])


def test_rows_are_split_by_their_dates_whatever_their_place(source):
    times = {split: read(source, split, "time_ms") for split in (*SPLITS, "random_test")}
    assert times == {
        "train": ["161", "162", "167"],
        "validation": ["165", "163"],
        "test": ["164", "166"],
        "random_test": ["168", "1610"],
    }
    assert read(source, "random_test", "is_rand") == ["1", "1"]
    assert source.shards("trial") == []
    assert source.estimated_rows("trial") == 0
    assert [source.estimated_rows(split) for split in (*SPLITS, "random_test")] == [4, 2, 3, 2]


def test_rows_have_their_users_and_videos(source):
    [first, _] = read_split(source, "train")  # a block of each log
    assert first.text("user_id").tolist() == [str(BIG + 1), str(BIG)]
    assert first.text("user_active_degree").tolist() == ["UNKNOWN", "full_active"]
    assert first.text("follow_user_num_range").tolist() == ["500+", "(0,10]"]
    assert first.text("onehot_feat4").tolist() == ["", "4"]
    assert first.text("author_id").tolist() == ["441", "441"]
    assert first.text("tag").tolist() == ["", "39,2"]
    assert first.text("music_id").tolist() == ["", "9155697141"]
    assert first.where(0).endswith("log_standard_4_08_to_4_21_pure.csv, line 2")


def test_labels(source):
    [block] = read_split(source, "test")  # line 2 and line 4
    labels = {name: task.labels(block, MISSING_VALUES).tolist() for name, task in TASKS.items()}
    assert labels.pop("play_time") == pytest.approx([9000, np.nan], nan_ok=True)
    assert labels.pop("long_view") == [0, 0]
    assert set(map(tuple, labels.values())) == {(1, 0)}


@pytest.mark.parametrize("place", ["data", "."])
def test_files_may_be_in_a_folder_as_in_the_archive_and_packed(tmp_path, place):
    folder = tmp_path / place
    write_files(folder)
    plain = folder / "video_features_basic_pure.csv"
    with gzip.open(f"{plain}.gz", "wt") as file:
        file.write(plain.read_text())
    plain.unlink()
    assert read(KuaiRand(str(tmp_path)), "validation", "tag") == ["", "39,2"]
    directory, patterns = KUAIRAND.files({"data_dir": str(tmp_path)})
    assert directory == str(folder if place == "data" else tmp_path)
    assert patterns == dict.fromkeys(SPLITS, "*_pure.csv*")
    assert KUAIRAND.files({}) is None
    assert KUAIRAND.files({"data_dir": "gs://bucket/k"})[0] == "gs://bucket/k"


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_that_name_beside_the_files_is_another_one(tmp_path, ending):
    """Such as one with prepared data."""
    write_files(tmp_path)
    for path in list(tmp_path.iterdir()) if ending else ():
        with gzip.open(f"{path}{ending}", "wt") as file:
            file.write(path.read_text())
        path.unlink()
    (tmp_path / "data").mkdir()
    assert read(KuaiRand(str(tmp_path)), "validation", "tag") == ["", "39,2"]
    assert KUAIRAND.files({"data_dir": str(tmp_path)})[0] == str(tmp_path)


def test_workers_read_the_tables_themselves(source):
    before = read(source, "train", "tag")
    assert source._tables
    other = pickle.loads(pickle.dumps(source))
    assert not other._tables
    assert read(other, "train", "tag") == before


@pytest.mark.parametrize("name", ["user_features_pure", "log_random_4_22_to_5_08_pure"])
def test_a_missing_file(tmp_path, name):
    write_files(tmp_path)
    (tmp_path / f"{name}.csv").unlink()
    message = f"holds neither {name}.csv nor {name}.csv.gz; give the directory of the original Kua"
    with pytest.raises(InputError, match=message):
        KuaiRand(str(tmp_path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"log_standard_4_08": [row(5, 10, 20220408, 1)]},
            r"4_21_pure.csv, line 2: .*user_features_pure.csv has no user_id '5'; both files",
        ),
        (
            {"log_standard_4_08": [row(BIG, 10, 20220408, 1), row(BIG, 12, 20220409, 1)]},
            r"4_21_pure.csv, line 3: .*video_features_basic_pure.csv has no video_id '12'",
        ),
        (
            {"user_features": [*USER_ROWS, USER_ROWS[0]]},
            rf"user_features_pure.csv, line 4: user_id '{BIG}' comes twice, also in .*, line 2",
        ),
        # What is wrong in a table has a place there, not in the log that it is joined with.
        (
            {"user_features": [USER_ROWS[0], USER_ROWS[1].replace(",21,", ",long,")]},
            r"user_features_pure.csv, line 3, column 'register_days': 'long' is not a finite num",
        ),
        (
            {"video_features": [*VIDEO_ROWS, "12,1,AD,soon,Web,1.0,,,,,,"]},
            r"video_features_basic_pure.csv, line 4, column 'upload_dt': 'soon' is not a time",
        ),
        (
            {"log_standard_4_08": [row(BIG, 10, "2022-04-08", 1)]},
            r"line 2, column 'date': '2022-04-08' is not a date such as 20220408; get the file",
        ),
        (
            {"log_standard_4_08": [row(BIG, 10, 20220408, 1), row(BIG, 10, 20221399, 1)]},
            r"line 3, column 'date': '20221399' is not a date such as 20220408",
        ),
        (
            {"log_standard_4_08": [row(BIG, 10, 20220408, 1), f"{BIG},10,20220408"]},
            r"4_21_pure.csv, line 3: 3 columns, but the header has 19",
        ),
    ],
)
def test_malformed_files(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        list(read_split(KuaiRand(write_files(tmp_path, **changed)), "train"))


def test_the_reader_downloads_and_extracts(tmp_path, monkeypatch):
    write_files(tmp_path / "KuaiRand-Pure" / "data")
    path, urls = tmp_path / "KuaiRand-Pure.tar.gz", []
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "KuaiRand-Pure", "KuaiRand-Pure")

    def download(self, url):
        urls.append(url)
        return path

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read(KuaiRand(), "test", "time_ms") == ["164", "166"]
    assert urls == [ORIGIN.archive]


def test_the_builder_reads_the_same_rows(source, tmp_path):
    builder = tfds_builders.Kuairand(original_files=str(tmp_path), data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    assert {s: of.num_examples for s, of in builder.info.splits.items()} == {
        "train": 3,
        "validation": 2,
        "test": 2,
        "random_test": 2,
    }
    rows = {r["time_ms"]: r for r in tfds.as_numpy(builder.as_dataset(split="train"))}
    assert set(rows[b"161"]) == set(KUAIRAND.columns)
    assert rows[b"161"]["user_id"] == str(BIG + 1).encode()
    assert rows[b"161"]["play_time_ms"] == np.float32(17200)
    assert [rows[t]["tag"].tolist() for t in (b"161", b"162")] == [[], [b"39", b"2"]]
