"""Whether a candidate may take the place of the model in production: beyond noise, or not at all.

What is judged is the difference of two models on the same rows and its standard error, see
`inference.paired`.
"""

import collections
import dataclasses
import statistics
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

BETTER, SAME, UNSURE, WORSE, FEW, OTHER = (
    "better",
    "no difference",
    "not known to be worse",
    "worse",
    "too few rows",
    "other labels",
)
# |log(mean prediction / mean label)|: 0 is calibrated, and smaller is better.
CALIBRATION = "calibration error"
GROUPED = "AUC within users"
_SHOWN_SLICES = 20


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a candidate must not do to a task.

    Attributes:
      margin: float. By how much its score, and its AUC within users, may be below production's.
      confidence: float. In (.5, 1): it is blocked when it is below by more than the margin with
        this confidence, one-sided. Slices share the chance of an error: see `judge`.
      least_positives: int. With fewer informative test rows (of a binary task, those of the rarer
        class), or users where these are resampled, nothing is known.
      calibration_margin: float. By how much its calibration error may be above production's: .02
        is a sum of predictions that is 2% farther from the sum of labels.
    """

    margin: float = 0.001
    confidence: float = 0.95
    least_positives: int = 50
    calibration_margin: float = 0.02

    def judge(
        self, difference: float, error: float, rows: int, *, measure: str = "", tests: int = 1
    ) -> str:
        """Returns the outcome of a comparison.

        Args:
          difference: The candidate's score minus production's, on the same rows.
          error: Its standard error.
          rows: The informative test rows.
          measure: What the score is; a smaller `CALIBRATION` is better.
          tests: How many comparisons of this kind decide together. The chance that any of them
            blocks a candidate that is not worse is kept below 1 - `confidence` (Bonferroni).

        Example:
          >>> Gate(margin=0.001).judge(-0.004, 0.001, 500), Gate(0.001).judge(-0.002, 0.001, 500)
          ('worse', 'not known to be worse')
        """
        gain, margin = difference, self.margin
        if measure == CALIBRATION:
            gain, margin = -difference, self.calibration_margin
        if rows < self.least_positives or not np.isfinite([difference, error]).all():
            return FEW
        noise = statistics.NormalDist().inv_cdf(1 - (1 - self.confidence) / tests) * error
        if gain + noise < -margin:
            return WORSE
        if gain - noise > 0:
            return BETTER
        return SAME if gain - noise >= -margin else UNSURE


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a candidate does to one task, by one measure, on some rows.

    Attributes:
      task: str.
      measure: str. The name of the task's score, `CALIBRATION` or `GROUPED`.
      slice: str. Which rows, as "device=phone"; empty for all.
      production: float. The measure of the model in production, on the test rows.
      candidate: float. That of the candidate.
      difference: float. The candidate's minus production's.
      error: float. Its standard error, paired on the same rows.
      rows: int. The informative test rows; where users are resampled, the users, if they are
        fewer: for `GROUPED`, those that have both labels.
      outcome: str. In words.
    """

    task: str
    measure: str
    slice: str
    production: float
    candidate: float
    difference: float
    error: float
    rows: int
    outcome: str

    def show_difference(self) -> str:
        """Returns the difference and its standard error, for a table."""
        if not np.isfinite([self.difference, self.error]).all():
            return "unknown"  # the labels do not allow a score
        return f"{self.difference:+.4f} ± {self.error:.4f}"

    @property
    def blocks(self) -> bool:
        """Whether the candidate is not to be pushed for this.

        Too few rows block where nothing is known of a task at all: its score on all rows. With
        thin slices, each push would be blocked.
        """
        if self.outcome == FEW:
            return not self.slice and self.measure not in (CALIBRATION, GROUPED)
        return self.outcome in (WORSE, OTHER)

    def explain(self, gate: Gate) -> str:
        """Returns why this blocks, as a part of a sentence.

        Args:
          gate: What judged it.
        """
        what = f"task {self.task!r}" + (f" in the slice {self.slice}" if self.slice else "")
        if self.outcome == OTHER:
            return (
                f"{what} has other labels than in production, so that their scores cannot be "
                "compared"
            )
        if self.outcome == FEW and self.rows < gate.least_positives:
            return (
                f"{what} has too few test rows to know whether it is worse: {self.rows} "
                "informative ones (of a binary task, of the rarer label), fewer than "
                f"{gate.least_positives}; give more test rows, or lower --least_positives"
            )
        if self.outcome == FEW:
            return (
                f"{what}: the difference of {self.measure} is unknown; check its test labels and "
                "predictions"
            )
        margin = gate.calibration_margin if self.measure == CALIBRATION else gate.margin
        return (
            f"{what} is worse than in production: {self.measure} {self.candidate:.4f} after "
            f"{self.production:.4f}, a difference of {self.show_difference()}, beyond the margin "
            f"of {margin:g} with a confidence of {gate.confidence:g}"
        )

    def to_row(self) -> dict[str, Any]:
        """Returns a row of a table."""
        return {
            "task": self.task,
            "slice": self.slice or "all",
            "measure": self.measure,
            "production": self.production,
            "candidate": self.candidate,
            "difference": self.show_difference(),
            "rows": self.rows,
            "verdict": self.outcome,
        }


def decide(found: Sequence[Verdict], gate: Gate) -> list[Verdict]:
    """Returns the verdicts with their outcomes.

    Args:
      found: Verdicts; those whose outcome is empty are to be judged.
      gate: What must not happen.
    """
    tests = collections.Counter(
        (of.task, of.measure)
        for of in found
        if of.slice and not of.outcome and of.rows >= gate.least_positives
    )
    return [
        dataclasses.replace(
            of,
            outcome=of.outcome
            or gate.judge(
                of.difference,
                of.error,
                of.rows,
                measure=of.measure,
                tests=max(1, tests[of.task, of.measure]) if of.slice else 1,
            ),
        )
        for of in found
    ]


def list_blocking(verdicts: Iterable[Verdict], accepted: Collection[str]) -> list[Verdict]:
    """Returns the verdicts for which a candidate is not pushed."""
    return [of for of in verdicts if of.blocks and of.task not in accepted]


def list_accepted(verdicts: Iterable[Verdict], accepted: Collection[str]) -> list[str]:
    """Returns the names of the accepted tasks that would have blocked a push, sorted."""
    return sorted({of.task for of in verdicts if of.blocks} & set(accepted))


def list_blocked_tasks(blocking: Sequence[Verdict]) -> str:
    """Returns the names of the tasks of verdicts, once each, by commas."""
    return ",".join(dict.fromkeys(of.task for of in blocking))


def make_rows(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Returns rows of a table: the verdicts on all rows, and the slices that are worse or better.

    Of these there are `_SHOWN_SLICES` at most, those that block first; the others are counted.
    """
    slices = [of for of in verdicts if of.slice]
    decided = [of for of in slices if of.blocks] + [of for of in slices if of.outcome == BETTER]
    shown = decided[:_SHOWN_SLICES]
    rows = [of.to_row() for of in verdicts if not of.slice] + [of.to_row() for of in shown]
    rest = collections.Counter(of.outcome for of in slices)
    rest -= collections.Counter(of.outcome for of in shown)
    rows += [
        {"slice": f"{count:,} more by task and measure", "verdict": outcome}
        for outcome, count in rest.items()
    ]
    return rows
