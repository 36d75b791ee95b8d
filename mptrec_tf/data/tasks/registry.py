"""The kinds of tasks, by name: a line each."""

from collections.abc import Mapping
from typing import Any

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.kinds import Registry
from mptrec_tf.storage.plain import fields_from_plain

DEFAULT = "binary"

TASKS: Registry[type[Task]] = Registry(
    "kind of task",
    {
        "binary": "mptrec_tf.data.tasks.binary:BinaryTask",
        "classes": "mptrec_tf.data.tasks.classes:ClassesTask",
        "ordinal": "mptrec_tf.data.tasks.ordinal:OrdinalTask",
        "regression": "mptrec_tf.data.tasks.regression:RegressionTask",
    },
)


def task_from_plain(raw: Mapping[str, Any]) -> Task:
    """Restores a task from `Task.to_plain`, also after a round trip through JSON.

    Raises:
      InputError: for an unknown kind.
      TypeError: for a field that the kind does not have.
    """
    fields = dict(raw)
    return fields_from_plain(TASKS.get(fields.pop("kind", DEFAULT)), fields)
