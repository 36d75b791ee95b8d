"""Looks at the label values that a data set's rows held, and says in sentences what seems wrong."""

from collections.abc import Iterator

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.label_survey import Surveys


def find_label_warnings(spec: DatasetSpec, surveys: Surveys) -> Iterator[str]:
    """Yields what is worth a sentence about the labels of some splits.

    Args:
      spec: Says what the labels are.
      surveys: `Survey.to_dict` by split.
    """
    for task in spec.tasks:
        yield from task.label_warnings(surveys)
