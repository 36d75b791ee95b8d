"""Regression: a number, such as a watch time or a price.

    z = (g(y) - mean) / deviation,   g(y) = y ("standard") or log(1 + y) ("log")
    loss = (z - logit)^2 / 2         ("squared"), or Huber's, linear where |z - logit| > 1 ("huber")
    prediction = g^-1(mean + deviation * logit)

Mean and deviation are those of the training rows, so that losses of tasks of any unit are of the
same size. The score is the concordance (see `evaluation.concordance`), which is the AUC for two
classes: it judges the order of rows alone. Scale and shift are fitted afterwards (calibration).
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.tasks.base import FITTED, ISOTONIC, KNOWN, NONE, PLATT, Task
from mptrec_tf.data.tasks.label_survey import UNIT, LabelSurvey, to_exact
from mptrec_tf.data.tasks.numbers import read_number
from mptrec_tf.data.tasks.scores import ConcordanceScores, rank_correlation
from mptrec_tf.storage.plain import ADDED

if TYPE_CHECKING:
    import tensorflow as tf

STANDARD, LOG = _SCALES = ("standard", "log")
SQUARED, HUBER = _LOSSES = ("squared", "huber")
_LARGEST = 80.0  # exponents; float32 ends at 88


@dataclasses.dataclass(frozen=True)
class RegressionTask(ConcordanceScores, Task):
    """A task whose labels are numbers.

    Attributes:
      scale: str. "standard"; or "log" for labels of 0 and more, a few of which are very large.
      loss: str. "squared", or "huber", which outliers change less.
      mean: float. Of the scaled labels of the training rows; set by preparation.
      deviation: float. Likewise.
      known_mean: Optional str. A column with the true mean of the label, in the label's own unit,
        for simulated data, so that the best reachable metrics can be reported.
      known_median: Optional str. One with its true median, which the smallest MAE needs.

    Example:
      >>> task = RegressionTask("watch", "seconds", scale="log")
      >>> task.label_of("12.5", ()), task.label_of("-1", ())
      (12.5, nan)
    """

    kind = "regression"
    score_name = "concordance"
    least_score = 0.5
    output = "value"
    label_hint = "check what column makes the label"
    calibrations = (PLATT, ISOTONIC, NONE)

    scale: str = STANDARD
    loss: str = SQUARED
    mean: float = dataclasses.field(default=0.0, metadata=FITTED)
    deviation: float = dataclasses.field(default=1.0, metadata=FITTED)
    known_mean: str | None = dataclasses.field(default=None, metadata=KNOWN | ADDED)
    known_median: str | None = dataclasses.field(default=None, metadata=KNOWN | ADDED)

    @property
    def known_columns(self) -> tuple[str, ...]:
        """The columns with the true mean and the true median, if there are any."""
        return tuple(column for column in (self.known_mean, self.known_median) if column)

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task."""
        yield from super().problems(taken_names)
        for key, known in (("scale", _SCALES), ("loss", _LOSSES)):
            if getattr(self, key) not in known:
                yield (
                    f"task {self.name!r}: {key} must be {' or '.join(known)}, not "
                    f"{getattr(self, key)!r}"
                )
        if self.known_median and not self.known_mean:
            yield f"task {self.name!r}: known_median needs known_mean too, which orders the rows"

    def describe_label(self) -> str:
        """Returns the label's column and its scale, for model cards."""
        return f"{self.label} ({self.scale} scale)"

    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the number; NaN for text, infinite numbers, and negative ones on a log scale."""
        number = read_number(value)
        return math.nan if self.scale == LOG and number < 0 else number

    def explain_no_label(self, value: str) -> str:
        """Returns that a value is not a number of the task's scale."""
        expected = "0 or a positive number" if self.scale == LOG else "a finite number"
        return f"{value!r} is not a label of task {self.name!r}; expected {expected}"

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns the statistics of some rows, with exact sums of the scaled labels."""
        counted = list(counted)
        survey = super().survey(counted, missing_values)
        for value, rows in counted:
            scaled = to_exact(self._scale(self.label_of(value, missing_values)))
            survey.sums["scaled"] += rows * scaled
            survey.sums["squares"] += rows * scaled**2
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns sum and range of the labels, and mean and deviation of the scaled ones."""
        rows, total = max(1, survey.rows), survey.sums["scaled"]
        variance = (rows * survey.sums["squares"] - total**2) / (rows * UNIT) ** 2
        scaled = {"scaled_mean": total / (rows * UNIT), "scaled_deviation": math.sqrt(variance)}
        return super().summary(survey) | scaled

    def fit(self, summary: Mapping[str, float]) -> "RegressionTask":
        """Returns the task with mean and deviation of the training rows."""
        deviation = summary["scaled_deviation"] or 1.0
        return dataclasses.replace(self, mean=summary["scaled_mean"], deviation=deviation)

    def label_rule(self) -> "RegressionTask":
        """Returns the task without its fit and its loss, which make no label."""
        return dataclasses.replace(super().label_rule(), loss=SQUARED)

    def _scale(self, label: Any) -> Any:
        return np.log1p(label) if self.scale == LOG else label

    @classmethod
    def losses(cls, tasks: Sequence[Task], logits: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
        """Returns the losses [K, B] of logits [K, B], for labels [B, K]."""
        import tensorflow as tf

        mean, deviation, is_log = _stack(tasks)
        labels = tf.transpose(labels)
        scaled = tf.where(is_log, tf.math.log1p(tf.maximum(labels, 0.0)), labels)
        error = logits - (scaled - mean) / deviation
        size = tf.abs(error)
        huber = tf.where(size > 1.0, size - 0.5, error**2 / 2)
        is_huber = np.array([[task.loss == HUBER] for task in tasks])
        return tf.where(is_huber, huber, error**2 / 2)

    @classmethod
    def predictions(cls, tasks: Sequence[Task], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the predicted labels, in the shape of the logits; on a log scale 0 or more."""
        import tensorflow as tf

        mean, deviation, is_log = _stack(tasks)
        scaled = mean + deviation * logits
        positive = tf.math.expm1(tf.clip_by_value(scaled, 0.0, _LARGEST))
        return tf.where(is_log, positive, scaled)

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, float] | None:
        """Returns scale and shift of the logit that make the loss of these rows smallest."""
        from mptrec_tf.evaluation.linear_fit import fit_line

        logits, targets = (
            (self._scale(np.asarray(values, np.float64)) - self.mean) / self.deviation
            for values in (predictions, labels)
        )
        return fit_line(logits, targets, weight, huber=self.loss == HUBER)

    def fit_knots(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[tuple[float, float], ...]:
        """Returns the knots of a monotone map to the mean label, also on a log scale."""
        from mptrec_tf.evaluation.isotonic import fit_numbers

        return fit_numbers(predictions, labels, weight, 0.0 if self.scale == LOG else None)

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns the metrics of every task, and RMSE, MAE and Spearman's rank correlation.

        The rank correlation counts all rows equally. Of known means and medians, the mean has the
        best of all these but MAE, which the median has.
        """
        mean = median = None
        if known is not None:
            mean, median = (known, None) if known.ndim == 1 else known.T
        result = super().metrics(labels, predictions, weight, users, mean)
        result |= _errors(labels, predictions, weight)
        result["rank_correlation"] = rank_correlation(labels, predictions)
        if mean is not None:
            result["best_rmse"] = _errors(labels, mean, weight)["rmse"]
            result["best_rank_correlation"] = rank_correlation(labels, mean)
        if median is not None:
            result["best_mae"] = _errors(labels, median, weight)["mae"]
        return result


def _errors(
    labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> dict[str, float]:
    errors = np.asarray(predictions, np.float64) - np.asarray(labels, np.float64)
    return {
        "rmse": math.sqrt(np.average(errors**2, weights=weight)),
        "mae": float(np.average(np.abs(errors), weights=weight)),
    }


def _stack(tasks: Sequence[Task]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns mean, deviation and whether the scale is "log" of each task, [K, 1]."""
    mean, deviation = (
        np.array([[getattr(task, name)] for task in tasks], np.float32)
        for name in ("mean", "deviation")
    )
    return mean, deviation, np.array([[task.scale == LOG] for task in tasks])
