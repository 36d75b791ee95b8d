"""The spec of the built-in synthetic data; imports no TensorFlow, since flags read it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.data_set import DataSet, Option, check_tasks
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

TASKS = ("click", "like", "share", "purchase")
DEFAULT_ROWS = {"train": 60_000, "validation": 10_000, "test": 20_000}


def probability_column(task: str) -> str:
    """Returns the raw column with the true probability of a task."""
    return f"probability_{task}"


def make_spec(tasks: Sequence[str] = TASKS) -> DatasetSpec:
    """Returns the spec of the built-in data.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks("synthetic", tasks, TASKS)
    categorical = (
        "user_id",
        "user_segment",
        "user_city",
        "item_id",
        "item_category",
        "device",
        "hour",
    )
    return DatasetSpec(
        name="synthetic",
        features=(
            *(Categorical(name) for name in categorical),
            Numeric("user_age"),
            Numeric("item_price", "log"),
            Numeric("item_freshness"),
        ),
        tasks=tuple(
            BinaryTask(t, t, ("1",), ("0",), known_probability=probability_column(t)) for t in tasks
        ),
        user_id="user_id",
    )


def _open(tasks: Sequence[str], rows: int | None = None, seed: int = 1) -> "Source":
    """Opens the data; validation and test have a sixth and a third of the training rows."""
    from mptrec_tf.data.sources.synthetic import Synthetic

    counts = None
    if rows is not None:
        if rows < 6:
            raise InputError(f"the number of rows must be 6 or more, not {rows}.")
        counts = {"train": rows, "validation": rows // 6, "test": rows // 3}
    return Synthetic(counts, seed, tasks)


SYNTHETIC = DataSet(
    "synthetic",
    make_spec,
    _open,
    TASKS,
    new_task="purchase",
    options={
        "rows": Option(
            int, f"number of training rows. Default: {DEFAULT_ROWS['train']}", least=100
        ),
        "seed": Option(int, "same seed, same rows", default=1, least=0, flag="data_seed"),
    },
)
