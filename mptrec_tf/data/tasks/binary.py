"""Binary tasks: a value is positive or negative, and the prediction is the probability of a 1.

    loss = -(y log q + (1 - y) log(1 - q)),   q = sigmoid(logit)

The score is the area under the ROC curve.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.data.tasks.base import (
    ISOTONIC,
    KNOWN,
    NONE,
    PLATT,
    PROBABILITY,
    TRAINING,
    Task,
)
from mptrec_tf.data.tasks.binary_tables import BinaryTables
from mptrec_tf.data.tasks.scores import compare_counted, rank_score_error

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class BinaryTask(BinaryTables, Task):
    """A task with labels 0 and 1; how they are counted and shown is in `BinaryTables`.

    Attributes:
      name: str. The task's name in models, reports and served outputs.
      label: str. The raw column with the label.
      positive: Values that count as 1 (compared in their canonical form), or a single one. Empty
        for a threshold.
      negative: Values that count as 0. Empty: every other value that is not missing.
      above: Optional float. Instead of `positive`: numbers greater than this count as 1.
      known_probability: Optional str. A column with the true probability of a positive, for
        simulated or randomised data, so that the best reachable metrics can be reported.
      exact: bool. Compare raw values instead of their canonical forms.
      given: Optional str. Another binary task without which this one is not positive, such as the
        click before a purchase. The model's output is then the probability given that task, and
        the prediction is the product of both, see `models.entire_space`.
      positive_weight: float. Multiplies the loss of positives in training, and nothing else. The
        logit is corrected by minus its logarithm.
      sample_negatives: Optional float. The share of the negative training rows that preparation
        keeps. The logit is corrected by its logarithm (He et al., *Practical Lessons from
        Predicting Clicks on Ads at Facebook*, ADKDD 2014, section 6.3).

    Example:
      >>> task = BinaryTask("income", "income_50k", positive=("50000+.",))
      >>> task.label_of(" 50000+.", ()), task.label_of("- 50000.", ())
      (1.0, 0.0)
    """

    kind = "binary"
    score_name = "AUC"
    least_score = 0.5
    output = PROBABILITY
    one_label = "one class only"
    label_hint = "check what counts as positive"
    calibrations = (PLATT, ISOTONIC, NONE)

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    above: float | None = None
    known_probability: str | None = dataclasses.field(default=None, metadata=KNOWN)
    exact: bool = False
    given: str | None = dataclasses.field(default=None, metadata=TRAINING)
    positive_weight: float = dataclasses.field(default=1.0, metadata=TRAINING)
    sample_negatives: float | None = dataclasses.field(default=None, metadata=TRAINING)

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
    def known_columns(self) -> tuple[str, ...]:
        """The column with the true probability of a positive, if there is one."""
        return (self.known_probability,) if self.known_probability else ()

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
        if not 0 < self.positive_weight < math.inf:
            yield f"{what}: positive_weight must be a number above 0, not {self.positive_weight:g}"
        if self.sample_negatives is not None and not 0 < self.sample_negatives <= 1:
            yield (
                f"{what}: sample_negatives must be a share above 0 and up to 1, not "
                f"{self.sample_negatives:g}"
            )
        changed = self.positive_weight != 1 or self.sample_negatives is not None
        if self.given and (changed or self.calibrate == ISOTONIC):
            yield (
                f"{what}: it is given {self.given!r}, so it cannot have positive_weight, "
                "sample_negatives or isotonic calibration: these would change the product of both"
            )

    def label_rule(self) -> "BinaryTask":
        """Returns the task without what makes no label; the order of its values does not matter."""
        return dataclasses.replace(
            super().label_rule(),
            positive=tuple(sorted(self.positive)),
            negative=tuple(sorted(self.negative)),
        )

    def describe_label(self) -> str:
        """Returns the rule of positives, for model cards."""
        above = f"{self.label} > {self.above:g}" if self.above is not None else ""
        rule = above or f"{self.label} is {' or '.join(self.positive)}"
        return f"{rule}, given {self.given}" if self.given else rule

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

    @property
    def kept_share(self) -> float:
        """The share of the negative training rows that preparation keeps."""
        return 1.0 if self.sample_negatives is None else self.sample_negatives

    def may_leave_out(self, labels: np.ndarray) -> np.ndarray:
        """Returns which rows are negative, [n] bool; a row without a label is not."""
        return labels == 0

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
        """Returns the cross entropies [K, B] of logits [K, B], for labels [B, K].

        Those of positives are multiplied by `positive_weight`.
        """
        import tensorflow as tf

        labels = tf.transpose(labels)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
        if all(task.positive_weight == 1 for task in tasks):
            return losses
        of_positives = np.array([[task.positive_weight] for task in tasks], np.float32)
        return losses * tf.where(labels > 0, of_positives, 1.0)

    @classmethod
    def predictions(cls, tasks: Sequence[Task], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the probabilities of positives, in the shape of the logits."""
        import tensorflow as tf

        del tasks
        return tf.sigmoid(logits)

    @property
    def logit_correction(self) -> float:
        """What makes the predicted odds those of all rows, each of which counts once."""
        return math.log(self.kept_share) - math.log(self.positive_weight)

    def calibration(
        self,
        predictions: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray | None,
        given: np.ndarray | None = None,
    ) -> tuple[float, float] | None:
        """Returns scale and shift of the logit that fit the labels (Platt scaling).

        Args:
          predictions: [n]; on condition of the task that this one is `given`, if there is one.
          labels: [n].
          weight: Optional [n].
          given: Optional [n]. The probabilities of that task.
        """
        from mptrec_tf.evaluation.platt import fit_scale_and_shift

        return fit_scale_and_shift(predictions, labels, weight, given)

    def fit_knots(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[tuple[float, float], ...]:
        """Returns the knots of a monotone map of probabilities."""
        from mptrec_tf.evaluation.isotonic import fit_probabilities

        return fit_probabilities(predictions, labels, weight)

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

        NaN if rows of a weight above 0 have one label only.
        """
        from mptrec_tf.evaluation.metrics import auc_difference

        return compare_counted(auc_difference, labels, predictions, others, weight)

    def score_error(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the standard error of the AUC."""
        return rank_score_error(self, labels, predictions, weight)

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns AUC, log loss and calibration; with users `grouped_auc`, with known the best.

        Args:
          labels: [n], each 0 or 1.
          predictions: [n]. Probabilities.
          weight: Optional [n]. Weighs every metric but the grouped AUC and the counts.
          users: Optional [n]. Groups for `grouped_auc`.
          known: Optional [n]. The true probabilities.
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
            result["best_log_loss"] = metrics.log_loss(labels, known, weight)
            if users is not None:
                result["best_grouped_auc"] = metrics.grouped_auc(users, labels, known)
        return result
