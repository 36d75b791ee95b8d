"""The spec of the built-in synthetic data; imports no TensorFlow, since flags read it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sets.data_set import DataSet, Option, check_tasks
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

TASKS = ("click", "like", "share", "purchase")
DEFAULT_ROWS = {"train": 60_000, "validation": 10_000, "test": 20_000}
FEATURES = (
    Categorical("user_id"),
    Categorical("user_segment"),
    Categorical("user_city"),
    Categorical("item_id"),
    Categorical("item_category"),
    Categorical("device"),
    Categorical("hour"),
    Numeric("user_age"),
    Numeric("item_price", "log"),
    Numeric("item_freshness"),
)
OPTIONS = {
    "rows": Option(int, f"number of training rows. Default: {DEFAULT_ROWS['train']}", least=100),
    "seed": Option(int, "same seed, same rows", default=1, least=0, flag="data_seed"),
}


def probability_column(task: str) -> str:
    """Returns the raw column with the true probability of a task."""
    return f"probability_{task}"


def make_task(name: str) -> BinaryTask:
    """Returns one of the four tasks."""
    return BinaryTask(name, name, ("1",), ("0",), known_probability=probability_column(name))


def make_spec(tasks: Sequence[str] = TASKS) -> DatasetSpec:
    """Returns the spec of the built-in data.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks("synthetic", tasks, TASKS)
    return DatasetSpec(
        name="synthetic",
        features=FEATURES,
        tasks=tuple(make_task(name) for name in tasks),
        user_id="user_id",
    )


def count_rows(rows: int | None) -> dict[str, int] | None:
    """Returns rows by split: validation and test have a sixth and a third of the training rows.

    Raises:
      InputError: for fewer than 6.
    """
    if rows is None:
        return None
    if rows < 6:
        raise InputError(f"the number of rows must be 6 or more, not {rows}.")
    return {"train": rows, "validation": rows // 6, "test": rows // 3}


def _open(tasks: Sequence[str], rows: int | None = None, seed: int = 1) -> "Source":
    from mptrec_tf.data.sets.synthetic.rows import Synthetic

    return Synthetic(count_rows(rows), seed, tasks)


SYNTHETIC = DataSet(
    "synthetic",
    make_spec,
    _open,
    TASKS,
    new_task="purchase",
    options=OPTIONS,
)
