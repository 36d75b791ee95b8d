"""Binary tasks: a value is positive or negative, and the prediction is the probability of a 1.

    loss = -(y log q + (1 - y) log(1 - q)),   q = sigmoid(logit)

The score is the area under the ROC curve.
"""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.data.tasks.base import SHOWN_VALUES, Task
from mptrec_tf.data.tasks.evaluator_metric import EvaluatorMetric
from mptrec_tf.data.tasks.label_survey import LabelSurvey, Surveys

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class BinaryTask(Task):
    """A task with labels 0 and 1.

    Attributes:
      name: str. The task's name in models, reports and served outputs.
      label: str. The raw column with the label.
      positive: Values that count as 1 (compared in their canonical form), or a single one. Empty
        for a threshold.
      negative: Values that count as 0. Empty: every other value that is not missing.
      above: Optional float. Instead of `positive`: numbers greater than this count as 1.
      known_probability: Optional str. A column with the true probability of a positive, for
        simulated or randomised data, so that the best reachable AUC can be reported.
      exact: bool. Compare raw values instead of their canonical forms.

    Example:
      >>> task = BinaryTask("income", "income_50k", positive=("50000+.",))
      >>> task.label_of(" 50000+.", ()), task.label_of("- 50000.", ())
      (1.0, 0.0)
    """

    kind = "binary"
    score_name = "AUC"
    least_score = 0.5
    output = "probability"
    one_label = "one class only"
    label_hint = "check what counts as positive"

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    above: float | None = None
    known_probability: str | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("positive", "negative"):
            values = getattr(self, field)
            values = (values,) if isinstance(values, str | int | float) else values
            object.__setattr__(self, field, tuple(self.form(v) for v in values))

    def form(self, value: Any) -> str:
        """Returns the text by which a label value is compared."""
        return str(value) if self.exact else canonicalize(value)

    @property
    def known_column(self) -> str | None:
        """The column with the true probability of a positive, if there is one."""
        return self.known_probability

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task."""
        yield from super().problems(taken_names)
        what = f"task {self.name!r}"
        if bool(self.positive) == (self.above is not None):
            yield f"{what}: state what counts as positive, by either positive or above"
        if self.above is not None and not math.isfinite(self.above):
            yield f"{what}: above must be a finite number, not {self.above}"
        if self.negative and self.above is not None:
            yield f"{what}: negative goes with positive, not with above"
        both = set(self.positive) & set(self.negative)
        if both:
            yield f"{what}: {sorted(both)[0]!r} is both positive and negative"

    def label_rule(self) -> "BinaryTask":
        """Returns the task without the known truth; the order of its values does not matter."""
        return dataclasses.replace(
            super().label_rule(),
            known_probability=None,
            positive=tuple(sorted(self.positive)),
            negative=tuple(sorted(self.negative)),
        )

    def describe_label(self) -> str:
        """Returns the rule of positives, for model cards."""
        if self.above is not None:
            return f"{self.label} > {self.above:g}"
        return f"{self.label} is {' or '.join(self.positive)}"

    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns 1 or 0; NaN for a value that is neither, such as a missing one."""
        text = self.form(value)
        if text in self.positive:
            return 1.0
        if text in self.negative:
            return 0.0
        if self.negative or is_missing(canonicalize(value), missing_values):
            return math.nan
        if self.above is None:
            return 0.0
        try:
            number = float(text)
        except ValueError:
            return math.nan
        return float(number > self.above) if math.isfinite(number) else math.nan

    def is_missing_label(self, value: str, missing_values: Sequence[str]) -> bool:
        """Whether a value is missing; one that `positive` or `negative` lists never is."""
        listed = self.form(value) in (*self.positive, *self.negative)
        return not listed and super().is_missing_label(value, missing_values)

    def explain_no_label(self, value: str) -> str:
        """Returns that a value is neither positive nor negative, and which values are."""
        expected = (
            f"a number (above {self.above:g} is positive)"
            if self.above is not None
            else " or ".join(repr(v) for v in (*self.positive, *self.negative))
        )
        return (
            f"{value!r} is neither positive nor negative for task {self.name!r}; "
            f"expected {expected}"
        )

    def missing_remedy(self) -> str:
        """Returns what to do about a row without a label."""
        return (
            "leave such rows out, give the task `missing: skip`, list the value under positive or "
            "negative, or change missing_values in the spec"
        )

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns positives and rows by value; for a threshold, by side of it."""
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.sums["positives"] += rows * int(label)
            if self.above is None:
                survey.values[self.form(value), label] += rows
            else:
                survey.values["", label] += rows
                survey.widen(label, float(value), float(value))
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns the number of positives."""
        return {"positives": int(survey.sums["positives"])}

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns the number and share of positives, for a table."""
        return {"positives": summary["positives"], "share": summary["positives"] / rows}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Returns the number of positives in words if it is none or all; else empty text."""
        positives = summary["positives"]
        return f"{positives} positives in {rows} rows" if positives in (0, rows) else ""

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns the number of rows of the rarer class."""
        return min(summary["positives"], rows - summary["positives"])

    def describe_value(self, value: str, label: float, survey: LabelSurvey) -> str:
        """Returns the value; for a threshold, the range of values on this side of it."""
        if self.above is None:
            return value
        low, high = survey.ranges[label]
        return f"{low:g} to {high:g}" if low < high else f"{low:g}"

    def label_counts(self, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
        """Returns rows by split for each (value, label), the most frequent first."""
        if self.above is None:
            return super().label_counts(surveys)
        # Ranges differ from split to split; the sides do not.
        sides = {
            split: {
                "labels": {
                    self.name: [
                        {**of, "value": f"{'above' if of['label'] else 'up to'} {self.above:g}"}
                        for of in survey["labels"][self.name]
                    ]
                }
            }
            for split, survey in surveys.items()
        }
        return super().label_counts(sides)

    def label_rows(self, surveys: Surveys) -> list[dict[str, Any]]:
        """Returns a table of raw values, their labels, and their rows by split."""
        shown = dict(list(self.label_counts(surveys).items())[:SHOWN_VALUES])
        table = [
            self.label_row(repr(v) if self.above is None else v, _BECAME[label], rows)
            for (v, label), rows in shown.items()
        ]
        for label in (1, 0):
            rest = {}
            for split, survey in surveys.items():
                positives = survey["tasks"][self.name]["positives"]
                total = positives if label else self.count_labelled(survey) - positives
                same = (rows for (_, other), rows in shown.items() if other == label)
                rest[split] = total - sum(rows.get(split, 0) for rows in same)
            if any(rest.values()):
                table.append(self.label_row("others", _BECAME[label], rest))
        return table

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields warnings about splits of one class, and about values similar to a positive one."""
        for split, survey in surveys.items():
            rows = self.count_labelled(survey)
            positives = survey["tasks"][self.name]["positives"]
            if positives in (0, rows):
                what = "none" if not positives else "each"
                yield (
                    f"task {self.name!r}: {what} of the {rows:,} {split} rows is positive; check "
                    f"what column {self.label!r} holds and what counts as positive."
                )
        if self.above is not None or self.negative:
            return
        for (value, label), counts in self.label_counts(surveys).items():
            close = [p for p in self.positive if not label and _is_similar(value, p)]
            if close:
                yield (
                    f"task {self.name!r}: label {value!r} ({sum(counts.values()):,} rows) counts "
                    f"as negative, but is similar to {close[0]!r}, which is positive; list it "
                    "under positive, or under negative, in the spec."
                )

    def separating_features(
        self,
        bins: Iterable[tuple[str, np.ndarray, np.ndarray]],
        features: int,
        train: np.ndarray,
        validation: np.ndarray,
    ) -> Iterator[str]:
        """Yields sentences about single features that separate positives from negatives."""
        from mptrec_tf.data.tasks.separation import find_separating_features

        for name, value in find_separating_features(bins, features, train, validation):
            yield (
                f"task {self.name!r}: column {name!r} alone separates its labels (AUC "
                f"{value:.4f} on the validation rows); if it is known only after the label, "
                "like a status or a time of delivery, leave it out of the features."
            )

    @classmethod
    def losses(cls, tasks: Sequence[Task], logits: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
        """Returns the cross entropies [K, B] of logits [K, B], for labels [B, K]."""
        import tensorflow as tf

        del tasks
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.transpose(labels), logits)

    @classmethod
    def predictions(cls, tasks: Sequence[Task], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the probabilities of positives, in the shape of the logits."""
        import tensorflow as tf

        del tasks
        return tf.sigmoid(logits)

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, float] | None:
        """Returns scale and shift of the logit that fit the labels (Platt scaling)."""
        from mptrec_tf.evaluation.platt import fit_scale_and_shift

        return fit_scale_and_shift(predictions, labels, weight)

    def score(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the AUC; NaN if only one class has a weight above 0."""
        from mptrec_tf.evaluation.metrics import auc

        return auc(labels, predictions, weight)

    def score_difference(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        others: np.ndarray,
        weight: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Returns DeLong's difference of two AUCs and its standard error.

        Rows of weight 0 are left out; the others count equally.
        """
        from mptrec_tf.evaluation.metrics import auc_difference

        counted = slice(None) if weight is None else weight > 0
        if len(np.unique(labels[counted])) < 2:
            return math.nan, math.nan
        return auc_difference(labels[counted], predictions[counted], others[counted])

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns AUC, log loss and calibration; with users `grouped_auc`, with known `best_auc`.

        Args:
          labels: [n], each 0 or 1.
          predictions: [n]. Probabilities.
          weight: Optional [n]. Weighs every metric but the grouped AUC and the counts.
          users: Optional [n]. Groups for `grouped_auc`.
          known: Optional [n]. The true probabilities, for `best_auc`.
        """
        from mptrec_tf.evaluation import metrics

        # Sums of many float32 are not exact.
        labels = np.asarray(labels, np.float64)
        predictions = np.asarray(predictions, np.float64)
        result: dict[str, float | int] = {
            "rows": len(labels),
            "positives": int(np.sum(labels)),
            "auc": metrics.auc(labels, predictions, weight),
            "log_loss": metrics.log_loss(labels, predictions, weight),
            "calibration": metrics.calibration_ratio(labels, predictions, weight),
            "ece": metrics.expected_calibration_error(labels, predictions, weight),
        }
        if users is not None:
            result["grouped_auc"] = metrics.grouped_auc(users, labels, predictions)
        if known is not None:
            result["best_auc"] = metrics.auc(labels, known, weight)
        return result

    def evaluator_metrics(self) -> tuple[EvaluatorMetric, ...]:
        """Returns the exact AUC, calibration, and the number of rows."""
        config = {"name": self.score_key}
        return (
            EvaluatorMetric("ExactAuc", "components.evaluation.exact_auc", config),
            self.over_labelled("Calibration", "calibration"),
            self.over_labelled("ExampleCount", "example_count"),
        )


_BECAME = {1: "positive", 0: "negative"}


def _is_similar(value: str, positive: str) -> bool:
    """Whether a value differs from a positive one only in case, punctuation or a letter."""
    plain, other = (re.sub(r"[\W_]+", "", text.casefold()) for text in (value, positive))
    if plain and plain == other:
        return True
    if re.sub(r"\d", "", plain) == re.sub(r"\d", "", other):  # numbered classes
        return False
    return difflib.SequenceMatcher(None, plain, other).ratio() >= 0.9
