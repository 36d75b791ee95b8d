"""The interface of tasks: a label column, a loss, a prediction and a score.

A kind of task is a subclass of `Task` in its own module and a line in the registry. Its fields are
its keys in a spec. All other code handles tasks through this interface. A model outputs one logit
per task; losses and predictions are computed from the logits of all tasks of a kind at once.
Modules of kinds import TensorFlow inside the functions that need it.
"""

import abc
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.data.tasks.evaluator_metric import EvaluatorMetric
from mptrec_tf.data.tasks.label_survey import UNIT, LabelSurvey, Surveys, count_labels, to_exact
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import fields_to_plain

if TYPE_CHECKING:
    import tensorflow as tf

    from mptrec_tf.data.sources.block import Block

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# Metadata of fields that preparation sets, by `Task.fit`; a spec does not have them.
FITTED = {"fitted": True}
REJECT, SKIP = _MISSING = ("reject", "skip")
SHOWN_VALUES = 20  # most label values of a task in a table


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A task: how labels are made of a raw column, and predictions of a logit.

    Class attributes:
      kind: Its name in the registry and in specs.
      score_name: The name of the score by which training, the choice of a head and the gates
        decide. It is larger for a better model. Scores of different kinds are not comparable.
      least_score: The score of a useless model; None if there is no such number.
      output: The name of a prediction in texts: "probability".
      one_label: Describes a split all of whose labels are the same.
      label_hint: What to check in such a split.

    Attributes:
      name: str. The task's name in models, reports and served outputs.
      label: str. The raw column with the label.
      where: Values by raw column, compared in their canonical form: the rows that hold one of
        them in each column have a label, and others have none. Empty: all rows have one.
      missing: str. A missing value of `label` is an error ("reject"), or the row has no label for
        this task ("skip"); then files may lack the column, too.

    Example:
      @dataclasses.dataclass(frozen=True)
      class CountTask(Task):
          kind = "count"
          score_name = "negative squared error"

          def label_of(self, value, missing_values):
              return float(value) if value.isdigit() else math.nan

          @classmethod
          def losses(cls, tasks, logits, labels):
              return tf.nn.log_poisson_loss(tf.transpose(labels), logits)

          @classmethod
          def predictions(cls, tasks, logits):
              return tf.exp(logits)

          def row_scores(self, labels, predictions):
              return -((labels - predictions) ** 2)

      TASKS.register("count", CountTask)
    """

    kind: ClassVar[str]
    score_name: ClassVar[str]
    least_score: ClassVar[float | None] = None
    output: ClassVar[str] = "number"
    one_label: ClassVar[str] = "one label only"
    label_hint: ClassVar[str] = "check what makes the label"

    name: str
    label: str
    where: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict, kw_only=True, hash=False
    )
    missing: str = dataclasses.field(default=REJECT, kw_only=True)

    def __post_init__(self) -> None:
        where = {}
        for column, values in dict(self.where).items():
            values = (values,) if isinstance(values, str | int | float) else values
            where[column] = tuple(sorted({canonicalize(value) for value in values}))
        object.__setattr__(self, "where", where)

    # In a spec.

    @property
    def known_column(self) -> str | None:
        """A raw column with the best possible prediction of each row, if there is one."""
        return None

    def other_columns(self) -> dict[str, str]:
        """Returns other raw columns that cannot be features, and their names in messages."""
        return {self.known_column: f"known {self.output}"} if self.known_column else {}

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task.

        Args:
          taken_names: Names of earlier tasks.
        """
        if not _NAME.match(self.name):
            yield f"task name {self.name!r} must be letters, digits and _ and begin with a letter"
        if self.name in taken_names:
            yield f"task {self.name!r} is listed twice"
        if self.missing not in _MISSING:
            yield (
                f"task {self.name!r}: missing must be {' or '.join(_MISSING)}, not {self.missing!r}"
            )
        for column, values in self.where.items():
            if column == self.label:
                yield f"task {self.name!r}: where names its own label column {column!r}"
            if not values:
                yield f"task {self.name!r}: where gives no value of column {column!r}"

    def fit(self, summary: Mapping[str, float]) -> "Task":
        """Returns the task with the fields that the training rows decide, see `FITTED`.

        Args:
          summary: `summary` of the training rows.
        """
        del summary
        return self

    def label_rule(self) -> "Task":
        """Returns the task with only the fields that decide its labels, to be compared."""
        fitted = {f.name: f.default for f in dataclasses.fields(self) if "fitted" in f.metadata}
        return dataclasses.replace(self, **fitted)

    def same_rule(self, other: "Task") -> bool:
        """Whether another task has the same labels."""
        return self.label_rule() == other.label_rule()

    def describe_label(self) -> str:
        """Returns the label's rule, for model cards."""
        return self.label

    def describe_rows(self) -> str:
        """Returns which rows have a label, as "clicked is 1"; empty if all have one."""
        conditions = [f"{column} is {' or '.join(v)}" for column, v in self.where.items()]
        if self.missing == SKIP:
            conditions.append(f"{self.label} is not missing")
        return " and ".join(conditions)

    def to_plain(self) -> dict[str, Any]:
        """Returns the task as plain data, which `registry.task_from_plain` reads."""
        return {"kind": self.kind, **fields_to_plain(self)}

    # In raw rows.

    @abc.abstractmethod
    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the label of a raw value; NaN if it has none.

        Args:
          value: The raw value.
          missing_values: What counts as missing, see `DatasetSpec`.
        """

    def explain_no_label(self, value: str) -> str:
        """Returns why a value that is not missing has no label, and which values have one."""
        return f"{value!r} makes no label for task {self.name!r}"

    @property
    def is_partial(self) -> bool:
        """Whether some rows may have no label for this task."""
        return bool(self.where) or self.missing == SKIP

    def is_missing_label(self, value: str, missing_values: Sequence[str]) -> bool:
        """Whether a value of the label column counts as missing."""
        return is_missing(canonicalize(value), missing_values)

    def has_label(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns which rows of a block should have a label, [n] bool; see `where` and `missing`.

        Raises:
          InputError: if a column of `where` is not there.
        """
        has = np.ones(len(block), bool)
        for column, values in self.where.items():
            has &= np.isin(block.canonical_text(column).astype(str), values)
        if self.missing == SKIP and self.label not in block.columns:
            return np.zeros(len(block), bool)
        if self.missing == SKIP:
            values, inverse = np.unique(block.text(self.label).astype(str), return_inverse=True)
            missing = [self.is_missing_label(value, missing_values) for value in values]
            has &= ~np.array(missing, bool)[inverse]
        return has

    def count_labelled(self, split: Mapping[str, Any]) -> int:
        """Returns how many rows of a split have a label, from its description or survey."""
        return split["tasks"][self.name].get("rows", split["rows"])

    def missing_remedy(self) -> str:
        """Returns what to do about a row without a label."""
        return (
            "leave such rows out, give the task `missing: skip`, or change missing_values in the "
            "spec"
        )

    def labels(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns the labels of rows.

        Args:
          block: n raw rows that hold the column `label`.
          missing_values: What counts as missing, see `DatasetSpec`.

        Returns:
          [n] float32; NaN in rows without a label, see `has_label`.

        Raises:
          InputError: for a value that is missing or has no label, with its place.
        """
        rows = np.flatnonzero(self.has_label(block, missing_values))
        labels = np.full(len(block), np.nan, np.float32)
        if not rows.size:
            return labels
        raw, text = block.column(self.label), block.text(self.label)[rows]
        values, inverse = np.unique(text.astype(str), return_inverse=True)
        of_values = [
            math.nan
            if self.is_missing_label(v, missing_values)
            else self.label_of(v, missing_values)
            for v in values
        ]
        labels[rows] = np.array(of_values)[inverse]
        bad = rows[np.isnan(labels[rows])]
        if bad.size:
            value = str(raw[bad[0]])
            where = f"{block.where(bad[0])}, column {self.label!r}"
            if self.is_missing_label(value, missing_values):
                raise InputError(
                    f"{where}: {value!r} is a missing value, and task {self.name!r} needs a label "
                    f"in every row; {self.missing_remedy()}."
                )
            raise InputError(f"{where}: {self.explain_no_label(value)}.")
        return labels

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns statistics of the labels of some rows.

        Args:
          counted: Distinct values of the column, and the number of rows with each.
          missing_values: What counts as missing, see `DatasetSpec`.
        """
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.values[canonicalize(value), label] += rows
            survey.sums["sum"] += rows * to_exact(label)
            survey.widen("label", label, label)
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns statistics of a split's labels for descriptions of data, numbers by name."""
        low, high = survey.ranges.get("label", (math.nan, math.nan))
        return {"sum": survey.sums["sum"] / UNIT, "lowest": low, "highest": high}

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns a split's row of a table of labels, by column.

        Args:
          summary: What `summary` returned.
          rows: Number of rows of the split.
        """
        return {"mean": summary["sum"] / rows, **{k: summary[k] for k in ("lowest", "highest")}}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Returns a description of a split's labels if all are the same; else empty text."""
        same = summary["lowest"] == summary["highest"]
        return f"all {rows} labels are {summary['lowest']:g}" if same else ""

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns the number of rows to learn from; of two classes, that of the rarer one."""
        del summary
        return rows

    def label_values(self, survey: LabelSurvey) -> list[dict[str, Any]]:
        """Returns raw values, their labels, and their numbers of rows, for a description file."""
        return [
            {"value": self.describe_value(value, label, survey), "label": _plain(label), "rows": n}
            for (value, label), n in survey.values.most_common()
        ]

    def describe_value(self, value: str, label: float, survey: LabelSurvey) -> str:
        """Returns the text of a counted value in a description file."""
        del label, survey
        return value

    def label_counts(self, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
        """Returns rows by split for each (value, label), the most frequent first.

        Args:
          surveys: `Survey.to_dict` by split.
        """
        return count_labels(self.name, surveys)

    def label_rows(self, surveys: Surveys) -> list[dict[str, Any]]:
        """Returns a table of raw values, their labels, and their rows by split."""
        counts = dict(list(self.label_counts(surveys).items())[:SHOWN_VALUES])
        table = [self.label_row(repr(v), f"{label:g}", n) for (v, label), n in counts.items()]
        rest = {
            split: self.count_labelled(of) - sum(rows.get(split, 0) for rows in counts.values())
            for split, of in surveys.items()
        }
        return [*table, self.label_row("others", "", rest)] if any(rest.values()) else table

    def label_row(self, value: str, became: str, rows: Mapping[str, int]) -> dict[str, Any]:
        """Returns a row of that table."""
        return {"task": self.name, "column": self.label, "value": value, "is": became, **rows}

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields warnings about the labels of some splits, a sentence each."""
        for split, survey in surveys.items():
            rows = self.count_labelled(survey)
            reason = self.explain_one_label(survey["tasks"][self.name], rows)
            if reason:
                yield (
                    f"task {self.name!r}: {reason} in the {split} rows; check what column "
                    f"{self.label!r} holds."
                )

    def separating_features(
        self,
        bins: Iterable[tuple[str, np.ndarray, np.ndarray]],
        features: int,
        train: np.ndarray,
        validation: np.ndarray,
    ) -> Iterator[str]:
        """Yields sentences about features that reveal the label; none by default.

        Args:
          bins: Name, values [n] of the training rows and [m] of the validation rows of each
            feature, as small whole numbers.
          features: Number of features.
          train: [n]. Labels.
          validation: [m]. Labels.
        """
        del bins, features, train, validation
        yield from ()

    # In a model.

    @classmethod
    @abc.abstractmethod
    def losses(
        cls, tasks: Sequence["Task"], logits: "tf.Tensor", labels: "tf.Tensor"
    ) -> "tf.Tensor":
        """Returns the loss of each task of this kind on each sample, [K, B].

        Args:
          tasks: K tasks of this kind.
          logits: [K, B].
          labels: [B, K].
        """

    @classmethod
    @abc.abstractmethod
    def predictions(cls, tasks: Sequence["Task"], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the predictions [..., K, B] of tasks of this kind from logits [..., K, B].

        An increasing function of each logit.
        """

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, float] | None:
        """Returns scale and shift of the logit that fit the labels; None: no calibration.

        Args:
          predictions: [n].
          labels: [n].
          weight: Optional [n].
        """
        del predictions, labels, weight
        return None

    # In evaluation.

    @property
    def score_key(self) -> str:
        """The score's key in logs and in JSON."""
        return self.score_name.lower().replace(" ", "_")

    @property
    def a_score(self) -> str:
        """The score's name in a sentence, with its article."""
        return f"{'an' if self.score_name[0] in 'AEIOaeio' else 'a'} {self.score_name}"

    @property
    def score_log(self) -> str:
        """The key of the validation score in training logs: "val_auc/<task>"."""
        return f"val_{self.score_key}/{self.name}"

    @property
    def score_column(self) -> str:
        """The column of the validation score in tables: "validation_AUC"."""
        return f"validation_{self.score_name.replace(' ', '_')}"

    def row_scores(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Returns the score [n] of each row, for a kind whose score is their mean."""
        raise NotImplementedError(f"{type(self).__name__} defines neither row_scores nor score.")

    def score(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the score of predictions, larger for better ones; NaN if it is undefined.

        Args:
          labels: [n].
          predictions: [n].
          weight: Optional [n].
        """
        return float(np.average(self.row_scores(labels, predictions), weights=weight))

    def score_difference(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        others: np.ndarray,
        weight: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Returns the difference of the scores of two models on the same rows.

        Args:
          labels: [n].
          predictions: [n].
          others: [n]. The other model's predictions.
          weight: Optional [n].

        Returns:
          The difference, and its standard error: infinite for a single row, NaN if the score is
          undefined.
        """
        gains = self.row_scores(labels, predictions) - self.row_scores(labels, others)
        weight = np.ones(len(gains)) if weight is None else np.asarray(weight, np.float64)
        count = np.count_nonzero(weight)
        mean = float(np.average(gains, weights=weight))
        if count < 2:
            return mean, math.inf
        variance = ((weight * (gains - mean)) ** 2).sum() / weight.sum() ** 2
        return mean, math.sqrt(variance * count / (count - 1))

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns the task's metrics, including the score under `score_key`.

        Args:
          labels: [n].
          predictions: [n].
          weight: Optional [n]. Weighs every metric but those by user and the counts.
          users: Optional [n]. Groups for metrics within groups.
          known: Optional [n]. The values of `known_column`.
        """
        del users
        labels, predictions = (np.asarray(v, np.float64) for v in (labels, predictions))
        result: dict[str, float | int] = {
            "rows": len(labels),
            self.score_key: self.score(labels, predictions, weight),
            "mean_label": float(np.average(labels, weights=weight)),
            "mean_prediction": float(np.average(predictions, weights=weight)),
        }
        if known is not None:
            result[f"best_{self.score_key}"] = self.score(labels, known, weight)
        return result

    def evaluator_metrics(self) -> tuple[EvaluatorMetric, ...]:
        """Returns the metrics of TFX's Evaluator; the first is the score, named `score_key`."""
        config = {"name": self.score_key, "task": self.to_plain()}
        return (
            EvaluatorMetric("TaskScore", "components.evaluation.task_score", config),
            self.over_labelled("ExampleCount", "example_count"),
        )

    def over_labelled(self, class_name: str, name: str) -> EvaluatorMetric:
        """Returns a metric of TFX's own, or ours of that name if some rows have no label."""
        if not self.is_partial:
            return EvaluatorMetric(class_name)
        return EvaluatorMetric("LabelledRows", "components.evaluation.labelled", {"name": name})


def _plain(label: float) -> float | int:
    return int(label) if float(label).is_integer() else float(label)


def drop_unlabelled(labels: np.ndarray, *others: np.ndarray | None) -> tuple:
    """Returns labels [n] and what belongs to the same rows, without rows that have no label.

    Example:
      >>> drop_unlabelled(np.array([1.0, np.nan, 0.0]), np.array([0.9, 0.5, 0.2]), None)
      (array([1., 0.]), array([0.9, 0.2]), None)
    """
    rows = ~np.isnan(labels)
    if rows.all():
        return labels, *others
    return labels[rows], *(None if other is None else other[rows] for other in others)
