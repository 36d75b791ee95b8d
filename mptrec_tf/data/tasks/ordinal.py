"""Ordinal tasks: levels that order, such as stars, or counts; the prediction is the expected level.

    P(y > level_k) = sigmoid(logit - threshold_k),   threshold_1 < threshold_2 < ...
    loss = -log P(y),   prediction = level_1 + sum_k (level_k+1 - level_k) P(y > level_k)

This is the proportional-odds model (McCullagh, *Regression Models for Ordinal Data*, J. R. Stat.
Soc. B 42, 1980). The thresholds are fitted to the levels' shares of the training rows, so that a
logit of 0 predicts these shares, and are the same for all rows: they are in order, a task costs one
logit however many levels it has, and the prediction rises with the logit, so that calibration
leaves the order of rows. The score is the concordance (see `evaluation.concordance`), which is the
AUC for two levels.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mptrec_tf.data.tasks.base import FITTED, KNOWN, Task
from mptrec_tf.data.tasks.label_survey import MOST_VALUES
from mptrec_tf.data.tasks.numbers import read_number
from mptrec_tf.data.tasks.scores import ConcordanceScores, rank_correlation
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import ADDED

if TYPE_CHECKING:
    import tensorflow as tf

_FAR = 1e9  # a threshold that no logit reaches
_SHOWN = 8  # most levels in a message
_PRIOR = 0.5  # rows that each level is taken to have had before any were seen


@dataclasses.dataclass(frozen=True)
class OrdinalTask(ConcordanceScores, Task):
    """A task whose labels are levels.

    Attributes:
      levels: The levels, numbers that rise. Empty: those of the training rows; with `most`, all
        whole numbers up to it.
      most: Optional float. The largest level, which holds all above.
      known_probability: Optional str. How the columns with the true probabilities begin, for
        simulated data: with "p", that of level 4 is in column "p_4".
      found: The levels, as numbers; set by preparation, as is the next one.
      thresholds: One less than levels.

    Example:
      >>> task = OrdinalTask("visits", "visits", most=3).fit_values({"0": 5, "1": 2, "7": 3})
      >>> task.found, task.label_of("12", ())
      ((0.0, 1.0, 2.0, 3.0), 3.0)
    """

    kind = "ordinal"
    score_name = "concordance"
    least_score = 0.5
    output = "expected level"
    one_label = "one level only"
    label_hint = "check what column makes the label"

    levels: tuple[str, ...] = ()
    most: float | None = None
    known_probability: str | None = dataclasses.field(default=None, metadata=KNOWN | ADDED)
    found: tuple[float, ...] = dataclasses.field(default=(), metadata=FITTED)
    thresholds: tuple[float, ...] = dataclasses.field(default=(), metadata=FITTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = self.levels
        levels = (levels,) if isinstance(levels, str | int | float) else levels
        object.__setattr__(self, "levels", tuple(self.form(v) for v in levels))

    @property
    def numbers(self) -> tuple[float, ...]:
        """The levels; none if they are not known yet."""
        return self.found or tuple(read_number(level) for level in self.levels)

    @property
    def known_columns(self) -> tuple[str, ...]:
        """The columns with the true probability of each level, if there are any."""
        prefix = self.known_probability
        return tuple(f"{prefix}_{level}" for level in self.levels) if prefix else ()

    @property
    def needs_values(self) -> bool:
        """The thresholds are fitted to the training rows, whose labels have to be levels."""
        return True

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task."""
        yield from super().problems(taken_names)
        what = f"task {self.name!r}"
        numbers = [read_number(level) for level in self.levels]
        wrong = [v for v, number in zip(self.levels, numbers, strict=True) if math.isnan(number)]
        if wrong:
            yield f"{what}: level {wrong[0]!r} is no finite number; number the levels"
        elif any(after <= before for before, after in itertools.pairwise(numbers)):
            yield f"{what}: levels must rise, each listed once; received {_list_some(numbers)}"
        if self.known_probability and not numbers:
            yield f"{what}: known_probability needs the levels; list them under levels"
        if len(numbers) == 1:
            yield f"{what}: levels lists one level; list two or more, or leave levels out"
        if len(numbers) >= MOST_VALUES:
            yield f"{what}: levels lists {len(numbers)} levels; there may be {MOST_VALUES - 1}"
        if self.most is None:
            return
        if numbers and not wrong and self.most != numbers[-1]:
            yield f"{what}: most must be the last of levels, {numbers[-1]:g}, not {self.most:g}"
        if not numbers and not float(self.most).is_integer():
            yield f"{what}: most must be a whole number, not {self.most:g}"

    def fit_values(self, counted: Mapping[str, int]) -> "OrdinalTask":
        """Returns the task with the levels of the training rows and their thresholds."""
        rows: dict[float, int] = {}
        for value, count in counted.items():
            number = self._limit(read_number(value))
            if not math.isnan(number):  # reading the rows rejects it, with its place
                rows[number] = rows.get(number, 0) + count
        levels = [read_number(level) for level in self.levels] or sorted(rows)
        if self.most is not None and not self.levels and levels:
            levels = [float(n) for n in range(math.ceil(levels[0]), int(self.most) + 1)]
        if len(levels) >= MOST_VALUES:
            raise InputError(
                f"task {self.name!r}: column {self.label!r} has {MOST_VALUES:,} or more levels in "
                "the training rows; give a largest one that holds all above with `most`, or use "
                "`kind: regression`."
            )
        shares = np.cumsum([rows.get(level, 0) + _PRIOR for level in levels])
        thresholds = np.log(shares[:-1] / (shares[-1:] - shares[:-1]))
        return dataclasses.replace(self, found=tuple(levels), thresholds=tuple(thresholds.tolist()))

    def same_labels(self, other: Task) -> bool:
        """Whether both have the same levels."""
        return isinstance(other, OrdinalTask) and self.numbers == other.numbers

    def describe_label(self) -> str:
        """Returns the column and its levels, for model cards."""
        more = "" if self.most is None else " and more"
        return f"{self.label} (levels {_list_some(self.numbers)}{more})"

    def _limit(self, number: float) -> float:
        return number if self.most is None or not number > self.most else float(self.most)

    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the level; NaN for what is none. Before they are known, any number is one."""
        number = self._limit(read_number(value))
        return number if not self.numbers or number in self.numbers else math.nan

    def explain_no_label(self, value: str) -> str:
        """Returns that a value is no level, and which there are."""
        if math.isnan(read_number(value)):
            return f"{value!r} is no level of task {self.name!r}; expected a finite number"
        where = "listed" if self.levels else "in the training rows"
        return (
            f"{value!r} is no level of task {self.name!r}; {where} are "
            f"{_list_some(self.numbers)}: list all under levels, or give a largest one that holds "
            "all above with `most`"
        )

    @classmethod
    def losses(cls, tasks: Sequence[Task], logits: "tf.Tensor", labels: "tf.Tensor") -> "tf.Tensor":
        """Returns -log P(y), [K, B], of logits [K, B], for labels [B, K].

        Of a level between thresholds a and b, P = sigmoid(z - a) sigmoid(b - z) (1 - exp(a - b)).
        """
        import tensorflow as tf

        losses = []
        for i, task in enumerate(tasks):
            low, high, constant = task._bounds()
            between = np.array(task.found[1:], np.float32)
            is_above = labels[:, i, tf.newaxis] >= between
            place = tf.reduce_sum(tf.cast(is_above, tf.int32), axis=1)
            low, high, constant = (tf.gather(of, place) for of in (low, high, constant))
            z = logits[i]
            losses.append(tf.nn.softplus(low - z) + tf.nn.softplus(z - high) - constant)
        return tf.stack(losses)

    def _bounds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns each level's thresholds below and above it, and log(1 - exp(below - above))."""
        low, high = np.array([-_FAR, *self.thresholds]), np.array([*self.thresholds, _FAR])
        constant = np.log(-np.expm1(low - high))
        return tuple(of.astype(np.float32) for of in (low, high, constant))

    @classmethod
    def predictions(cls, tasks: Sequence[Task], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the expected levels, in the shape of the logits."""
        import tensorflow as tf

        parts = []
        for task, z in zip(tasks, tf.unstack(logits, num=len(tasks), axis=-2), strict=True):
            gaps = np.diff(task.found).astype(np.float32)
            above = tf.sigmoid(z[..., tf.newaxis] - np.array(task.thresholds, np.float32))
            parts.append(tf.reduce_sum(gaps * above, axis=-1) + np.float32(task.found[0]))
        return tf.stack(parts, axis=-2)

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float, float]:
        """Returns scale and shift of the logit that make the loss of these rows smallest."""
        from mptrec_tf.evaluation.levels import fit_scale_and_shift, invert_expected

        logits = invert_expected(predictions, self.found, self.thresholds)
        place = np.searchsorted(self.found, labels)
        return fit_scale_and_shift(logits, place, self.thresholds, weight)

    def metrics(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        weight: np.ndarray | None = None,
        users: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ) -> dict[str, float | int]:
        """Returns the metrics of every task, and those of levels.

        MAE, the accuracy of the nearest level, Spearman's rank correlation (which counts all rows
        equally), and the log loss of the levels' probabilities. Of known probabilities, the
        expected level has the best order, the median level the best MAE, the likeliest the best
        accuracy.

        Args:
          labels: [n]. Levels.
          predictions: [n]. Expected levels.
          weight: Optional [n].
          users: Not used.
          known: Optional [n, levels]. The true probabilities of the levels.
        """
        from mptrec_tf.evaluation.levels import invert_expected, level_losses

        levels = np.array(self.found)
        expected = None if known is None else known @ levels
        result = super().metrics(labels, predictions, weight, users, expected)
        labels, predictions = (np.asarray(v, np.float64) for v in (labels, predictions))
        result["mae"] = float(np.average(np.abs(predictions - labels), weights=weight))
        nearest = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, predictions)]
        result["accuracy"] = float(np.average(nearest == labels, weights=weight))
        result["rank_correlation"] = rank_correlation(labels, predictions)
        logits = invert_expected(predictions, self.found, self.thresholds)
        losses = level_losses(logits, np.searchsorted(levels, labels), self.thresholds)
        result["log_loss"] = float(np.average(losses, weights=weight))
        if known is not None:
            from mptrec_tf.evaluation.classes import log_loss

            median = levels[np.argmax(np.cumsum(known, axis=1) >= 0.5, axis=1)]
            right = levels[np.argmax(known, axis=1)] == labels
            result["best_mae"] = float(np.average(np.abs(median - labels), weights=weight))
            result["best_accuracy"] = float(np.average(right, weights=weight))
            result["best_rank_correlation"] = rank_correlation(labels, expected)
            result["best_log_loss"] = log_loss(np.searchsorted(levels, labels), known, weight)
        return result


def _list_some(numbers: Sequence[float]) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:_SHOWN])
    if len(numbers) <= _SHOWN:
        return shown
    return f"{shown}, ... {numbers[-1]:g} ({len(numbers)} in all)"
