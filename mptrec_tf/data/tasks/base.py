"""What every task is: a column that makes a label, a loss, a prediction, and a score.

A kind of task is a subclass of `Task` in a module of its own and a line in the registry:

    @dataclasses.dataclass(frozen=True)
    class CountTask(Task):
        kind = "count"
        ...

    TASKS.register("count", CountTask)

Its fields are the keys that a spec gives it. Everything else that handles tasks knows this
interface alone. One logit per task is the model's; losses and predictions are made of the logits of
all tasks of a kind at once. Modules of kinds import TensorFlow inside the functions that need it.
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
from mptrec_tf.data.tasks.label_survey import LabelSurvey, Surveys, count_labels
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

    from mptrec_tf.data.sources.block import Block

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
SHOWN_VALUES = 20  # of a task's labels, in a table


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A task: how a raw column makes its label, and what is made of its logit.

    Class attributes:
      kind: Its name in the registry and in specs.
      score_name: What the number is called that training, the choice of a head and the gates go by.
        It is larger where a model is better; scores of different kinds mean different things and
        are compared with none but themselves.
      least_score: What a model of any use reaches; None where no number is known.
      output: What a prediction is, for texts: "probability".
      one_label: What a split is said to have all of whose labels are the same.
      label_hint: What to check then.

    Attributes:
      name: str. What the task is called in models, reports and served outputs.
      label: str. The raw column that makes the label.
    """

    kind: ClassVar[str]
    score_name: ClassVar[str]
    least_score: ClassVar[float | None] = None
    output: ClassVar[str] = "number"
    one_label: ClassVar[str] = "one label only"
    label_hint: ClassVar[str] = "check what makes the label"

    name: str
    label: str

    # What a spec says.

    @property
    def known_column(self) -> str | None:
        """A raw column with the best possible prediction of each row, where there is one."""
        return None

    def other_columns(self) -> dict[str, str]:
        """Raw columns beside the label that are no features, and what they are: "known ..."."""
        return {self.known_column: f"known {self.output}"} if self.known_column else {}

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields what is wrong with the task, in sentences.

        Args:
          taken_names: Names of the tasks before it.
        """
        if not _NAME.match(self.name):
            yield f"task name {self.name!r} must be letters, digits and _ and begin with a letter"
        if self.name in taken_names:
            yield f"task {self.name!r} is listed twice"

    def same_rule(self, other: "Task") -> bool:
        """Whether another task makes the same labels, and the same predictions of a logit."""
        return self == other

    def describe_label(self) -> str:
        """Returns what makes the label, for model cards."""
        return self.label

    def to_plain(self) -> dict[str, Any]:
        """The task as plain data, which `registry.task_from_plain` reads."""
        return {"kind": self.kind, **dataclasses.asdict(self)}

    # What raw rows hold.

    @abc.abstractmethod
    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the label that a value of the column makes; NaN where it makes none.

        Args:
          value: As it stands in the row.
          missing_values: What counts as missing, see `DatasetSpec`.
        """

    def explain_no_label(self, value: str) -> str:
        """Says why a value that is not missing makes no label, and which one would."""
        return f"{value!r} makes no label for task {self.name!r}"

    def missing_remedy(self) -> str:
        """Says what to do about a row without a label."""
        return "leave such rows out, or change missing_values in the spec"

    def labels(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns the labels of rows.

        Args:
          block: n raw rows that hold the column `label`.
          missing_values: What counts as missing, see `DatasetSpec`.

        Returns:
          [n] float32.

        Raises:
          InputError: for a value that is missing or makes no label, with its place.
        """
        raw = block.column(self.label)
        values, inverse = np.unique(block.text(self.label).astype(str), return_inverse=True)
        labels = np.array([self.label_of(v, missing_values) for v in values], np.float32)[inverse]
        bad = np.flatnonzero(np.isnan(labels))
        if bad.size:
            value = str(raw[bad[0]])
            where = f"{block.where(bad[0])}, column {self.label!r}"
            if is_missing(canonicalize(value), missing_values):
                raise InputError(
                    f"{where}: {value!r} is a missing value, and task {self.name!r} needs a label "
                    f"in every row; {self.missing_remedy()}."
                )
            raise InputError(f"{where}: {self.explain_no_label(value)}.")
        return labels

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns what is known of the labels of some rows.

        Args:
          counted: Distinct values of the column, and how many rows hold each.
          missing_values: What counts as missing, see `DatasetSpec`.
        """
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.values[canonicalize(value), label] += rows
            survey.sums["sum"] += rows * label
            survey.widen("label", label, label)
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns what descriptions of data hold of a split's labels, as plain numbers by name."""
        low, high = survey.ranges.get("label", (math.nan, math.nan))
        return {"sum": survey.sums["sum"], "lowest": low, "highest": high}

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns what a table says of a split's labels, by column.

        Args:
          summary: What `summary` returned.
          rows: How many rows the split has.
        """
        return {"mean": summary["sum"] / rows, **{k: summary[k] for k in ("lowest", "highest")}}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Says which labels a split has if all are the same; empty where they are not."""
        same = summary["lowest"] == summary["highest"]
        return f"all {rows} labels are {summary['lowest']:g}" if same else ""

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns how many rows there are to learn from; of two classes, those of the rarer one."""
        del summary
        return rows

    def label_values(self, survey: LabelSurvey) -> list[dict[str, Any]]:
        """Returns label values, what they became, and their rows, for a description file."""
        return [
            {"value": self.describe_value(value, label, survey), "label": _plain(label), "rows": n}
            for (value, label), n in survey.values.most_common()
        ]

    def describe_value(self, value: str, label: float, survey: LabelSurvey) -> str:
        """Returns what stands for a counted value in a description file."""
        del label, survey
        return value

    def label_counts(self, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
        """Returns rows by split for each (value, label), the most frequent first.

        Args:
          surveys: `Survey.to_dict` by split.
        """
        return count_labels(self.name, surveys)

    def label_rows(self, surveys: Surveys) -> list[dict[str, Any]]:
        """Returns which values the splits hold, how often, and what they became, for a table."""
        counts = dict(list(self.label_counts(surveys).items())[:SHOWN_VALUES])
        table = [self.label_row(repr(v), f"{label:g}", n) for (v, label), n in counts.items()]
        rest = {
            split: of["rows"] - sum(rows.get(split, 0) for rows in counts.values())
            for split, of in surveys.items()
        }
        return [*table, self.label_row("others", "", rest)] if any(rest.values()) else table

    def label_row(self, value: str, became: str, rows: Mapping[str, int]) -> dict[str, Any]:
        """Returns a row of that table."""
        return {"task": self.name, "column": self.label, "value": value, "is": became, **rows}

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields what is worth a sentence about the labels of some splits."""
        for split, survey in surveys.items():
            reason = self.explain_one_label(survey["tasks"][self.name], survey["rows"])
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
        """Yields sentences about features that give the label away; a kind may know none.

        Args:
          bins: Name, values [n] of the training rows and [m] of the validation rows of each
            feature, as small whole numbers.
          features: How many features there are.
          train: [n]. Labels.
          validation: [m]. Labels.
        """
        del bins, features, train, validation
        yield from ()

    # What a model learns.

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
        """Returns what tasks of this kind predict, [..., K, B], of logits [..., K, B].

        A function of each logit alone, larger where the logit is.
        """

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, float] | None:
        """Returns scale and shift of the logit that fit the labels; None: it stays as it is.

        Args:
          predictions: [n].
          labels: [n].
          weight: Optional [n].
        """
        del predictions, labels, weight
        return None

    # How it is judged.

    @property
    def score_key(self) -> str:
        """The score's name in logs and in JSON."""
        return self.score_name.lower().replace(" ", "_")

    @property
    def a_score(self) -> str:
        """The score in a sentence, with its article."""
        return f"{'an' if self.score_name[0] in 'AEIOaeio' else 'a'} {self.score_name}"

    @property
    def score_log(self) -> str:
        """The log of the score on the validation rows: "val_auc/<task>"."""
        return f"val_{self.score_key}/{self.name}"

    @property
    def score_column(self) -> str:
        """The column of the score on the validation rows in tables: "validation_AUC"."""
        return f"validation_{self.score_name.replace(' ', '_')}"

    def row_scores(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Returns the score [n] of each row, of a kind whose score is their mean."""
        raise NotImplementedError(f"{type(self).__name__} defines neither row_scores nor score.")

    def score(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns how good predictions are, larger where better; NaN where that is not defined.

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
        """Returns how much larger one score is than another on the same rows.

        Args:
          labels: [n].
          predictions: [n].
          others: [n]. What they are compared with.
          weight: Optional [n].

        Returns:
          The difference, and its standard error: infinite where a single row counts, NaN where
          there is no score.
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
        """Returns the task's metrics, the score under `score_key` among them.

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
        """Returns what TFX's Evaluator measures; the first is the score, named `score_key`."""
        config = {"name": self.score_key, "task": self.to_plain()}
        return (
            EvaluatorMetric("TaskScore", "components.evaluation.task_score", config),
            EvaluatorMetric("ExampleCount"),
        )


def _plain(label: float) -> float | int:
    return int(label) if float(label).is_integer() else float(label)
