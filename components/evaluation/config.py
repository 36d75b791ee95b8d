"""What the Evaluator evaluates."""

import dataclasses
import json

from components.evaluation.thresholds import Thresholds
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain, to_plain


@dataclasses.dataclass(frozen=True)
class EvaluatorConfig:
    """What the Evaluator evaluates, and what a model must reach.

    Attributes:
      tasks: Names of the tasks to evaluate.
      thresholds: What each of them must reach.
      compared: Tasks of the model in production that the candidate is compared on.
      slices: Lists of feature columns; a model is also evaluated on every combination of their
        values.
      split: str. Which split of the examples.
    """

    tasks: tuple[str, ...]
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    compared: tuple[str, ...] = ()
    slices: tuple[tuple[str, ...], ...] = ()
    split: str = "test"

    def check(self, spec: DatasetSpec) -> None:
        """Rejects what does not fit the data.

        Raises:
          InputError: for an unknown task, a threshold of a task that the data do not have, or a
            slice by a column that is not a feature.
        """
        spec.select_tasks(self.tasks)
        thresholds = self.thresholds
        for what, names in (
            ("a threshold is given for", thresholds.least),
            ("--accept names", thresholds.accepted),
        ):
            unknown = sorted(set(names) - set(spec.task_names))
            if unknown:
                raise InputError(
                    f"{what} {unknown[0]!r}, which is not a task of data set {spec.name!r}."
                )
        for column in (column for columns in self.slices for column in columns):
            if column not in spec.feature_names:
                raise InputError(
                    f"cannot slice by {column!r}: it is not a feature of data set {spec.name!r}."
                )

    def to_json(self) -> str:
        """Returns the configuration as JSON, which `from_json` reads."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_json(cls, text: str) -> "EvaluatorConfig":
        """Reads what `to_json` wrote."""
        return from_plain(cls, json.loads(text))
