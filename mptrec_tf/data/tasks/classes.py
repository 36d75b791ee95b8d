"""Classes: a value is one of K, and the prediction is the probability of each.

    loss = -log q_y,   q = softmax(logits)

The score is the AUC of each class against the rest, weighted by the classes' rows: for a row and
one of another class, how probable it is that the row's own class is predicted with a larger
probability for it. Of two classes it is the AUC of a binary task, so that one threshold means the
same for both kinds, and unlike a mean over pairs of classes (Hand & Till, Machine Learning 45,
2001) it is not ruled by classes that hardly any row has (Provost & Domingos, CeDER Working Paper
IS-00-04, 2001).
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.tasks.base import FITTED, KNOWN, Task
from mptrec_tf.data.tasks.label_survey import MOST_VALUES, LabelSurvey, Surveys
from mptrec_tf.data.tasks.scores import compare_counted, rank_score_error
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import ADDED

if TYPE_CHECKING:
    import tensorflow as tf

OTHERS = "others"
_SHOWN = 8  # most classes in a message


@dataclasses.dataclass(frozen=True)
class ClassesTask(Task):
    """A task whose labels are one of several classes.

    Attributes:
      values: The classes, compared in their canonical form. Empty: those of the training rows,
        sorted.
      others: bool. Whether a value that is none of them is of one more class, "others"; otherwise
        it is an error.
      exact: bool. Compare raw values instead of their canonical forms.
      known_probability: Optional str. How the columns with the true probabilities begin, for
        simulated data: with "p", that of class "paid" is in column "p_paid".
      found: The classes of the training rows; set by preparation where `values` is empty.

    Example:
      >>> task = ClassesTask("status", "status", values=("paid", "shipped"), others=True)
      >>> task.label_of("shipped", ()), task.label_of("lost", ()), task.output_names
      (1.0, 2.0, ('paid', 'shipped', 'others'))
    """

    kind = "classes"
    score_name = "AUC"
    least_score = 0.5
    output = "probability per class"
    one_label = "one class only"
    label_hint = "check what column makes the label"

    values: tuple[str, ...] = ()
    others: bool = False
    exact: bool = False
    known_probability: str | None = dataclasses.field(default=None, metadata=KNOWN | ADDED)
    found: tuple[str, ...] = dataclasses.field(default=(), metadata=FITTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.values
        values = (values,) if isinstance(values, str | int | float) else values
        object.__setattr__(self, "values", tuple(self.form(v) for v in values))

    def form(self, value: Any) -> str:
        """Returns the text by which a label value is compared."""
        return str(value) if self.exact else canonicalize(value)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        known = self.values or self.found
        return (*known, OTHERS) if self.others and known else known

    @property
    def known_columns(self) -> tuple[str, ...]:
        """The columns with the true probability of each class, if there are any."""
        prefix = self.known_probability
        return tuple(f"{prefix}_{name}" for name in self.output_names) if prefix else ()

    @property
    def logits(self) -> int:
        """One for each class."""
        return len(self.output_names)

    @property
    def outputs(self) -> int:
        """A probability for each class."""
        return len(self.output_names)

    @property
    def needs_values(self) -> bool:
        """Whether the classes are those of the training rows."""
        return not self.values

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task."""
        yield from super().problems(taken_names)
        what, values = f"task {self.name!r}", self.values
        twice = [value for value in values if values.count(value) > 1]
        if twice:
            yield f"{what}: class {twice[0]!r} is listed twice under values"
        if len(values) == 1 and not self.others:
            yield f"{what}: values lists one class; list two or more, or leave values out"
        if len(values) >= MOST_VALUES:
            yield f"{what}: values lists {len(values)} classes; there may be {MOST_VALUES - 1}"
        if self.known_probability and not values:
            yield f"{what}: known_probability needs the classes; list them under values"
        if self.others and OTHERS in values:
            yield f"{what}: values lists {OTHERS!r}, which is the class of all other values"

    def fit_values(self, counted: Mapping[str, int]) -> "ClassesTask":
        """Returns the task with the classes of the training rows: numbers by size, or texts."""
        if len(counted) >= MOST_VALUES:
            raise InputError(
                f"task {self.name!r}: column {self.label!r} has {MOST_VALUES:,} or more distinct "
                "values in the training rows, too many for classes; list those that matter under "
                f"values (with `others: true` for the rest), or use another kind of task."
            )
        if self.others and OTHERS in counted:
            raise InputError(
                f"task {self.name!r}: column {self.label!r} has the value {OTHERS!r}, which is the "
                "class of all other values; leave `others` out, or rename the value."
            )
        return dataclasses.replace(self, found=tuple(sort_values(counted)))

    def same_labels(self, other: Task) -> bool:
        """Whether both have the same classes in the same order."""
        return self.output_names == other.output_names

    def describe_label(self) -> str:
        """Returns the column and its classes, for model cards."""
        return f"{self.label}: {_list_some(self.output_names)}"

    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the place of the value's class; NaN if it has none.

        Before the classes are known, every value has a label.
        """
        known, text = self.values or self.found, self.form(value)
        if text in known:
            return float(known.index(text))
        if not known:
            return 0.0
        return float(len(known)) if self.others else math.nan

    def is_missing_label(self, value: str, missing_values: Sequence[str]) -> bool:
        """Whether a value is missing; one that `values` lists never is."""
        listed = self.form(value) in self.values
        return not listed and super().is_missing_label(value, missing_values)

    def explain_no_label(self, value: str) -> str:
        """Returns that a value is none of the classes, and which these are."""
        known = self.values or self.found
        where = "under values" if self.values else "in the training rows"
        return (
            f"{value!r} is no class of task {self.name!r}; {where} are {_list_some(known)}: list "
            "it under values, or give the task `others: true`"
        )

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns the rows by class."""
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.values[self.form(value), label] += rows
            survey.sums[int(label)] += rows
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns how many classes there are, and the rows of the most frequent one."""
        return {
            "classes": len(survey.sums),
            "largest": max(survey.sums.values(), default=0),
        }

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns the number of classes, and the share of the largest, for a table."""
        return {"classes": summary["classes"], "largest_share": summary["largest"] / rows}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Returns that all rows are of one class if they are; else empty text."""
        return "" if summary["classes"] > 1 else f"all {rows} rows are of one class"

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns the number of rows that are not of the most frequent class."""
        return rows - summary["largest"]

    def count_informative(self, labels: np.ndarray) -> int:
        """Returns the number of rows that are not of the most frequent class."""
        return len(labels) - int(np.bincount(labels.astype(int), minlength=1).max())

    def label_row(self, value: str, became: str, rows: Mapping[str, int]) -> dict[str, Any]:
        """Returns a row of a table of labels, with the class by its name."""
        known = self.output_names
        return super().label_row(value, known[int(became)] if became else "", rows)

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields warnings about splits of one class, and about classes without training rows."""
        yield from super().label_warnings(surveys)
        seen = {of["label"] for of in surveys["train"]["labels"][self.name]}
        given = self.output_names if self.values else self.found
        never = [name for i, name in enumerate(given) if i not in seen]
        if never:
            yield (
                f"task {self.name!r}: no training row is of class {_list_some(never)}; the model "
                "cannot learn it."
            )

    @classmethod
    def losses(cls, tasks: Sequence[Task], logits: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
        """Returns the cross entropies [K, B] of logits [L, B], for labels [B, K]."""
        import tensorflow as tf

        parts = tf.split(logits, [task.logits for task in tasks])
        return tf.stack(
            [
                tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.cast(labels[:, i], tf.int32), tf.transpose(part)
                )
                for i, part in enumerate(parts)
            ]
        )

    @classmethod
    def predictions(cls, tasks: Sequence[Task], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the probabilities of the classes, in the shape of the logits [L, B]."""
        import tensorflow as tf

        # Task by task: what is computed together may depend on what else there is.
        parts = tf.split(logits, [task.logits for task in tasks])
        return tf.concat([tf.transpose(tf.nn.softmax(tf.transpose(p))) for p in parts], axis=0)

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, list[float]]:
        """Returns a scale of all logits, and the shift of each, that fit the labels."""
        from mptrec_tf.evaluation.classes import fit_temperature

        return fit_temperature(predictions, labels, weight)

    def score(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the AUC of each class against the rest, weighted by its rows.

        NaN if only one class has a weight above 0.
        """
        from mptrec_tf.evaluation.classes import one_against_rest

        return one_against_rest(labels, predictions, weight)

    def score_difference(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        others: np.ndarray,
        weight: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Returns the difference of two scores and its standard error.

        NaN if rows of a weight above 0 have one label only.
        """
        from mptrec_tf.evaluation.classes import one_against_rest_difference

        return compare_counted(one_against_rest_difference, labels, predictions, others, weight)

    def score_error(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the standard error of the score."""
        return rank_score_error(self, labels, predictions, weight)

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns AUCs, accuracy, log loss, and the calibration error of the likeliest class.

        `auc` weighs classes by their rows, `macro_auc` equally.

        Args:
          labels: [n]. Places of classes.
          predictions: [n, K]. Probabilities.
          weight: Optional [n]. Weighs every metric but the counts.
          users: Not used.
          known: Optional [n, K]. The true probabilities.
        """
        from mptrec_tf.evaluation import metrics

        del users
        predictions = np.asarray(predictions, np.float64)
        right = (predictions.argmax(axis=1) == labels).astype(np.float64)
        result: dict[str, float | int] = {
            "rows": len(labels),
            "classes": len(np.unique(labels)),
            **self._judge(labels, predictions, weight),
            "ece": metrics.expected_calibration_error(right, predictions.max(axis=1), weight),
        }
        if known is not None:
            best = self._judge(labels, known, weight)
            result |= {f"best_{name}": value for name, value in best.items()}
        return result

    def _judge(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
    ) -> dict[str, float]:
        """Returns the metrics that true probabilities have the best of."""
        from mptrec_tf.evaluation import classes

        right = predictions.argmax(axis=1) == labels
        return {
            "auc": self.score(labels, predictions, weight),
            "macro_auc": classes.one_against_rest(labels, predictions, weight, equally=True),
            "accuracy": float(np.average(right, weights=weight)),
            "log_loss": classes.log_loss(labels, predictions, weight),
        }


def sort_values(values: Iterable[str]) -> list[str]:
    """Returns label values in an order that does not depend on rows: numbers by size, or texts."""
    try:
        return sorted(values, key=lambda value: (float(value), value))
    except ValueError:
        return sorted(values)


def _list_some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
