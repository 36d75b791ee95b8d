"""The spec of the built-in data that change from day to day; imports no TensorFlow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.sets.data_set import DataSet, Option, check_tasks
from mptrec_tf.data.sets.synthetic import spec as synthetic_spec
from mptrec_tf.data.sets.synthetic.spec import TASKS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

NAME = "synthetic_days"
DAY = "day"  # a column that is no feature
DEFAULT_ROWS = 5_000  # training rows of a day
DEFAULT_DAYS = 7
DEFAULT_DRIFT = 2  # degrees a day
DEFAULT_LIFETIME = 40  # days
OPTIONS = {
    "rows": Option(int, f"training rows of each day. Default: {DEFAULT_ROWS}", least=100),
    "seed": synthetic_spec.OPTIONS["seed"],
    "day": Option(
        int,
        "the last day of the training rows, counted from 0; test rows are of the next",
        default=DEFAULT_DAYS - 1,
        least=0,
    ),
    "days": Option(int, "days of training rows", default=DEFAULT_DAYS, least=1),
    "drift": Option(
        int, "degrees by which tastes turn in a day; at 90 they are others", DEFAULT_DRIFT, least=0
    ),
    "lifetime": Option(
        int, "days that an item stays; one in so many is new each day", DEFAULT_LIFETIME, least=1
    ),
}


def make_spec(tasks: Sequence[str] = TASKS) -> DatasetSpec:
    """Returns the spec of the built-in data that change: that of `synthetic`.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks(NAME, tasks, TASKS)
    return DatasetSpec(
        name=NAME,
        features=synthetic_spec.FEATURES,
        tasks=tuple(synthetic_spec.make_task(name) for name in tasks),
        user_id="user_id",
    )


def count_rows(rows: int = DEFAULT_ROWS) -> dict[str, int]:
    """Returns rows of a day by split: there are twice as many test rows as of the others.

    Raises:
      InputError: for less than one.
    """
    if rows < 1:
        raise InputError(f"the number of rows must be 1 or more, not {rows}.")
    return {"train": rows, "validation": rows, "test": 2 * rows}


def _open(
    tasks: Sequence[str],
    rows: int = DEFAULT_ROWS,
    seed: int = 1,
    day: int = DEFAULT_DAYS - 1,
    days: int = DEFAULT_DAYS,
    drift: int = DEFAULT_DRIFT,
    lifetime: int = DEFAULT_LIFETIME,
) -> "Source":
    from mptrec_tf.data.sets.synthetic_days.rows import Change, SyntheticDays

    change = Change(seed, drift, lifetime)
    return SyntheticDays(day, days, rows=count_rows(rows), change=change, tasks=tasks)


SYNTHETIC_DAYS = DataSet(NAME, make_spec, _open, TASKS, new_task="purchase", options=OPTIONS)
