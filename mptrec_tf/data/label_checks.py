"""Checks the label values of a data set's rows."""

from collections.abc import Iterator

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.label_survey import Surveys


def find_label_warnings(spec: DatasetSpec, surveys: Surveys) -> Iterator[str]:
    """Yields warnings about the labels of some splits, a sentence each.

    Args:
      spec: Describes the labels.
      surveys: `Survey.to_dict` by split.
    """
    for task in spec.tasks:
        yield from task.label_warnings(surveys)
