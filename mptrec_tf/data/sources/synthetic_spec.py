"""What the built-in synthetic data hold; imports neither TensorFlow nor NumPy, as flags need it."""

from collections.abc import Sequence

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError, did_you_mean

TASKS = ("click", "like", "share", "purchase")
DEFAULT_ROWS = {"train": 60_000, "validation": 10_000, "test": 20_000}


def probability_column(task: str) -> str:
    """The raw column that holds the true probability of a task."""
    return f"probability_{task}"


def make_spec(tasks: Sequence[str] = TASKS) -> DatasetSpec:
    """Returns the spec of the built-in data.

    Raises:
      InputError: for a task that this data set does not have.
    """
    for name in tasks:
        if name not in TASKS:
            raise InputError(
                f"unknown task {name!r}: data set 'synthetic' has {', '.join(TASKS)}"
                f"{did_you_mean(name, TASKS)}"
            )
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
