"""The spec of KuaiRand-Pure; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.ages import Age
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.base import NUMBER, TEXT, TEXTS
from mptrec_tf.data.features.buckets import Buckets
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import MEAN, Numeric
from mptrec_tf.data.sets.data_set import (
    DataSet,
    Files,
    Option,
    Origin,
    check_tasks,
    find_inner_folder,
)
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.regression import LOG, RegressionTask
from mptrec_tf.storage.file_systems import is_remote

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

NAME = "kuairand"
STANDARD_1 = "log_standard_4_08_to_4_21_pure.csv"
STANDARD_2 = "log_standard_4_22_to_5_08_pure.csv"
RANDOM = "log_random_4_22_to_5_08_pure.csv"
USERS, VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
RANDOM_TEST = "random_test"

USER, VIDEO, DATE, TAGS = "user_id", "video_id", "date", "tag"
SIGNALS = (
    *("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate"),
    "long_view",
)
DURATION, PLAYED = "duration_ms", "play_time_ms"
LOG_COLUMNS = (
    *(USER, VIDEO, DATE, "hourmin", "time_ms", *SIGNALS, PLAYED, DURATION),
    *("profile_stay_time", "comment_stay_time", "is_profile_enter", "is_rand", "tab"),
)
_USER_COUNTS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
USER_COLUMNS = (
    *("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author"),
    *(name for count in _USER_COUNTS for name in (count, f"{count}_range")),
    *(f"onehot_feat{n}" for n in range(18)),
)
_SIZES = ("server_width", "server_height")
VIDEO_COLUMNS = (
    *("author_id", "video_type", "upload_dt", "upload_type", "visible_status", "video_duration"),
    *(*_SIZES, "music_id", "music_type", TAGS),
)
# What is known before a video is shown. Its state "now" is that of the day of the download.
_CATEGORIES = (
    *(USER, VIDEO, "author_id", "music_id", "tab", "hourmin"),
    *(name for name in USER_COLUMNS if name not in _USER_COUNTS),
    *("video_type", "upload_type", "music_type"),
)
FEATURES = (
    *map(Categorical, _CATEGORIES),
    *(Numeric(name, LOG, missing=MEAN) for name in (DURATION, *_USER_COUNTS)),
    *(Numeric(name, missing=MEAN) for name in _SIZES),
    # Some labels depend on seven and on eighteen seconds.
    Buckets(DURATION),
    Age("upload_dt"),
    Bag(TAGS, separator=","),
)


def _signal(name: str, label: str) -> BinaryTask:
    return BinaryTask(name, label, positive=("1",), negative=("0",))


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _signal("click", "is_click"),
        _signal("like", "is_like"),
        _signal("follow", "is_follow"),
        _signal("long_view", "long_view"),
        # Without a click most of the times are 0, so that they would say little beside it.
        RegressionTask("play_time", PLAYED, scale=LOG, where={"is_click": 1}),
        _signal("comment", "is_comment"),
        _signal("forward", "is_forward"),
        _signal("hate", "is_hate"),
    )
}
DEFAULT_TASKS = ("click", "like", "follow", "long_view")
ORIGIN = Origin(
    title="KuaiRand-Pure",
    homepage="https://kuairand.com",
    licence="CC BY-SA 4.0",
    citation=(
        "Gao et al., KuaiRand: An Unbiased Sequential Recommendation Dataset with Randomly Exposed "
        "Videos, CIKM 2022."
    ),
    file=STANDARD_1,
    archive="https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz",
)


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec. No label is a feature, nor is anything else that follows from playing.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks(NAME, tasks, list(TASKS))
    return DatasetSpec(
        name=NAME,
        features=FEATURES,
        tasks=tuple(TASKS[name] for name in tasks),
        user_id=USER,
    )


def find_folder(data_dir: str) -> str:
    """Returns the folder of the files: the directory, or `data` in it, as in the archive."""
    return find_inner_folder(data_dir, "data", STANDARD_1)


def _open(tasks: Sequence[str], data_dir: str | None = None) -> "Source":
    from mptrec_tf.data.sets.kuairand.rows import KuaiRand

    return KuaiRand(data_dir, tasks)


def _files(options: Mapping[str, Any]) -> Files | None:
    if not options.get("data_dir"):
        return None
    # A pipeline is compiled where there may be no network: files there are in the directory itself.
    data_dir = options["data_dir"]
    folder = data_dir if is_remote(data_dir) else find_folder(data_dir)
    # The tables of users and videos are read for each split.
    return folder, dict.fromkeys(SPLITS, "*_pure.csv*")


KUAIRAND = DataSet(
    NAME,
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="long_view",
    options={
        "data_dir": Option(
            str,
            "directory of the original files; without it they are downloaded from Zenodo",
            is_directory=True,
        )
    },
    files=_files,
    origin=ORIGIN,
    columns={
        **dict.fromkeys((*LOG_COLUMNS, *USER_COLUMNS, *VIDEO_COLUMNS), TEXT),
        **dict.fromkeys((PLAYED, DURATION), NUMBER),
        TAGS: TEXTS,
    },
    other_splits=(RANDOM_TEST,),
    sample="mptrec_tf.data.sets.kuairand.sample:write_sample",
)
