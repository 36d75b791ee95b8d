"""The spec of Byte-Rec; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, TEXT
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import MEAN, Numeric
from mptrec_tf.data.sets.data_set import DataSet, Files, Option, Origin, check_tasks
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

FILE = "final_track2_train.txt"
UID, ITEM, DURATION = "uid", "item_id", "duration_time"
# The file has no header.
COLUMNS = (
    *(UID, "user_city", ITEM, "author_id", "item_city", "channel", "finish", "like", "music_id"),
    *("device", "time", DURATION),
)
MISSING = "-1"
# One user's rows of one video stay together. It names columns of the file, so that the split is the
# same for all tasks.
SPLIT = SplitRule(columns=(UID, ITEM))
_LONG = 10.0  # seconds
_MIN_COUNT = 5  # most of the four million videos are seen a few times
_FEATURES = (
    Categorical(UID),
    Categorical("user_city"),
    Categorical(ITEM, min_count=_MIN_COUNT),
    Categorical("author_id", min_count=_MIN_COUNT),
    Categorical("item_city"),
    Categorical("channel"),
    Categorical("music_id", min_count=_MIN_COUNT),
    Categorical("device"),
    Numeric(DURATION, "log", MEAN),  # a few rows have more than a day
)
TASKS = {
    task.name: task
    for task in (
        BinaryTask("finish", "finish", positive=("1",), negative=("0",)),
        BinaryTask("like", "like", positive=("1",), negative=("0",)),
        BinaryTask("long_duration", DURATION, above=_LONG),
    )
}
DEFAULT_TASKS = tuple(TASKS)
ORIGIN = Origin(
    title="Byte-Rec",
    homepage="https://www.biendata.xyz/competition/icmechallenge2019/",
    licence="the rules of the challenge",
    citation="ByteDance, Short Video Understanding Challenge, track 2, ICME 2019.",
    file=FILE,
)


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec; the duration is a label or a feature, the time is neither.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks("byte_rec", tasks, list(TASKS))
    labels = {TASKS[name].label for name in tasks}
    return DatasetSpec(
        name="byte_rec",
        features=tuple(feature for feature in _FEATURES if feature.name not in labels),
        tasks=tuple(TASKS[name] for name in tasks),
        user_id=UID,
        missing_values=("", MISSING),
    )


def _open(tasks: Sequence[str], data_dir: str | None = None) -> "Source":
    from mptrec_tf.data.sets.byte_rec.rows import open_byte_rec

    return open_byte_rec(data_dir, tasks)


def _files(options: Mapping[str, Any]) -> Files | None:
    if not options.get("data_dir"):
        return None
    return options["data_dir"], dict.fromkeys(("train", "validation", "test"), f"{FILE}*")


BYTE_REC = DataSet(
    "byte_rec",
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="long_duration",
    options={"data_dir": Option(str, f"directory of {FILE}", is_directory=True)},
    files=_files,
    origin=ORIGIN,
    columns={name: NUMBER if name == DURATION else TEXT for name in COLUMNS},
    sample="mptrec_tf.data.sets.byte_rec.sample:write_sample",
)
