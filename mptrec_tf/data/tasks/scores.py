"""A task's score, by which training and gates decide, and its metrics."""

import math
from collections.abc import Callable

import numpy as np


class TaskScores:
    """The part of a `Task` that judges predictions; a kind changes what it has to.

    By default the score is the mean of `row_scores`.
    """

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
        return float(np.average(gains, weights=weight)), mean_error(gains, weight)

    def score_error(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the standard error of `score`: infinite for a single row, NaN if unknown.

        A kind with a `score` of its own, which is no mean of `row_scores`, defines this, too.

        Args:
          labels: [n].
          predictions: [n].
          weight: Optional [n].
        """
        if type(self).row_scores is TaskScores.row_scores:
            return math.nan
        return mean_error(self.row_scores(labels, predictions), weight)

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
          known: Optional. The values of `known_columns`: [n], or [n, columns] if there are several.
            What they reach is `best_` and the metric's name.
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


class ConcordanceScores(TaskScores):
    """Scores of kinds whose labels are numbers: the concordance, see `evaluation.concordance`."""

    def score(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the concordance; NaN if all labels are the same."""
        from mptrec_tf.evaluation.concordance import concordance

        return concordance(labels, predictions, weight)

    def score_difference(
        self,
        labels: np.ndarray,
        predictions: np.ndarray,
        others: np.ndarray,
        weight: np.ndarray | None = None,
    ) -> tuple[float, float]:
        """Returns the difference of two concordances and its standard error.

        NaN if rows of a weight above 0 have one label only.
        """
        from mptrec_tf.evaluation.concordance import concordance_difference

        return compare_counted(concordance_difference, labels, predictions, others, weight)

    def score_error(
        self, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
    ) -> float:
        """Returns the standard error of the concordance."""
        return rank_score_error(self, labels, predictions, weight)


def mean_error(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Returns the standard error of the mean of values [n]; infinite for a single one.

    Args:
      values: [n].
      weight: Optional [n].
    """
    weight = np.ones(len(values)) if weight is None else np.asarray(weight, np.float64)
    count = np.count_nonzero(weight)
    if count < 2:
        return math.inf
    mean = np.average(values, weights=weight)
    variance = ((weight * (values - mean)) ** 2).sum() / weight.sum() ** 2
    return math.sqrt(variance * count / (count - 1))


def rank_score_error(
    task: TaskScores, labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None
) -> float:
    """Returns the standard error of a score that is one half, without error, for equal predictions.

    So it is that of the difference from such predictions.
    """
    return task.score_difference(labels, predictions, np.zeros_like(predictions), weight)[1]


def compare_counted(
    difference: Callable[..., tuple[float, float]],
    labels: np.ndarray,
    predictions: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray | None,
) -> tuple[float, float]:
    """Returns a difference of scores over the rows of a weight above 0, and its standard error.

    NaN if these have one label only, so that there is no pair of rows to order.

    Args:
      difference: Function of labels, of two models' predictions, and of weights or None.
      labels: [n].
      predictions: [n].
      others: [n]. The other model's predictions.
      weight: Optional [n].
    """
    counted = slice(None) if weight is None else weight > 0
    if len(np.unique(labels[counted])) < 2:
        return math.nan, math.nan
    of = None if weight is None else weight[counted]
    return difference(labels[counted], predictions[counted], others[counted], of)


def rank_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Returns Spearman's rank correlation; NaN if all labels or all predictions are the same."""
    from scipy.stats import spearmanr

    if len(np.unique(labels)) < 2 or len(np.unique(predictions)) < 2:
        return math.nan
    return float(spearmanr(labels, predictions).statistic)
