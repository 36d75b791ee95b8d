"""The spec of the built-in data as real logs have them; imports no TensorFlow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.buckets import Buckets
from mptrec_tf.data.features.numeric import MEAN, Numeric
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.times import Time
from mptrec_tf.data.sets.data_set import DataSet, check_tasks
from mptrec_tf.data.sets.synthetic import spec as synthetic_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import SKIP, Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.ordinal import OrdinalTask
from mptrec_tf.data.tasks.regression import LOG, RegressionTask

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

NAME = "synthetic_logs"
MOST_SHOWN = 12  # items of a history
STARS = ("1", "2", "3", "4", "5")
ENDINGS = ("left", "finished", "replayed")
FEATURES = (
    *synthetic_spec.FEATURES,
    Bag("item_topics", weights=True),
    ValueSequence("history", attend_to="item_id", most=MOST_SHOWN),
    Numeric("session_seconds", "log", missing=MEAN),
    Buckets("session_seconds"),
    Time("shown_at", parts=("weekday",)),
)
# What a click led to: those who did not click have no watch time, no ending and gave no stars.
LATER_TASKS: tuple[Task, ...] = (
    RegressionTask(
        "watch",
        "watch_seconds",
        where={"click": 1},
        scale=LOG,
        known_mean="mean_watch",
        known_median="median_watch",
    ),
    BinaryTask(
        "cart",
        "cart",
        ("1",),
        ("0",),
        known_probability=synthetic_spec.probability_column("cart"),
        given="click",
    ),
    OrdinalTask(
        "stars",
        "stars",
        levels=STARS,
        missing=SKIP,
        known_probability=synthetic_spec.probability_column("stars"),
    ),
    ClassesTask(
        "ending",
        "ending",
        values=ENDINGS,
        where={"click": 1},
        known_probability=synthetic_spec.probability_column("ending"),
    ),
)
_TASKS: dict[str, Task] = {
    **{name: synthetic_spec.make_task(name) for name in synthetic_spec.TASKS},
    **{task.name: task for task in LATER_TASKS},
}
TASKS = tuple(_TASKS)
DEFAULT_TASKS = ("click", "like", "watch", "purchase")


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec of the built-in data as real logs have them.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks(NAME, tasks, TASKS)
    return DatasetSpec(
        name=NAME,
        features=FEATURES,
        tasks=tuple(_TASKS[name] for name in tasks),
        user_id="user_id",
    )


def _open(tasks: Sequence[str], rows: int | None = None, seed: int = 1) -> "Source":
    from mptrec_tf.data.sets.synthetic_logs.rows import SyntheticLogs

    return SyntheticLogs(synthetic_spec.count_rows(rows), seed, tasks)


SYNTHETIC_LOGS = DataSet(
    NAME,
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="purchase",
    options=synthetic_spec.OPTIONS,
)
