"""Checks the label values of a data set's rows."""

from collections.abc import Iterator

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.label_survey import Surveys
from mptrec_tf.errors import InputError


def check_any_label(spec: DatasetSpec, surveys: Surveys) -> None:
    """Rejects a task that no row of a split has a label for.

    Args:
      spec: Describes the labels.
      surveys: `Survey.to_dict` by split.

    Raises:
      InputError: naming the task and the split.
    """
    for task in spec.tasks:
        for split, survey in surveys.items():
            if not task.count_labelled(survey):
                rows = f"; rows where {task.describe_rows()}" if task.is_partial else ""
                raise InputError(
                    f"no {split} row of data set {spec.name!r} has a label for task "
                    f"{task.name!r} (column {task.label!r}{rows}); give rows that have one, or "
                    "leave the task out: of the spec, or by --retire of mptrec-refresh."
                )


def find_label_warnings(spec: DatasetSpec, surveys: Surveys) -> Iterator[str]:
    """Yields warnings about the labels of some splits, a sentence each.

    Args:
      spec: Describes the labels.
      surveys: `Survey.to_dict` by split.
    """
    for task in spec.tasks:
        yield from task.label_warnings(surveys)
