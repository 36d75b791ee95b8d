"""Which differences between models are more than noise.

Two models are compared on the same rows, seed by seed. A difference has two sources of noise: the
test rows, which all seeds share, so that more seeds do not lessen it; and the seed. So

    variance of the mean difference = (mean standard error over the rows)^2 + variance over the
                                      seeds / number of seeds

with the standard error over the rows by the kind of task (for AUC, DeLong's). With one seed, the
second part is unknown and left out.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of the scores of two models, over seeds.

    Attributes:
      mean: float. Of the first minus the second.
      error: float. Its standard error.
      p: float. Of the hypothesis that there is no difference, two-sided.
      seeds: int. Seeds that both have.
    """

    mean: float
    error: float
    p: float
    seeds: int


def combine(differences: Sequence[float], errors: Sequence[float]) -> Difference:
    """Combines the differences of single seeds, see the module.

    Args:
      differences: Of each seed.
      errors: Their standard errors over the rows.

    Example:
      >>> combine([0.01, 0.03], [0.003, 0.005]).error  # sqrt(0.004**2 + 0.0002 / 2)
      0.010770329614269008
    """
    count = len(differences)
    if not count:
        return Difference(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(differences))
    of_seeds = float(np.var(differences, ddof=1)) / count if count > 1 else 0.0
    error = math.sqrt(float(np.mean(errors)) ** 2 + of_seeds)
    if error == 0:
        p = 1.0 if mean == 0 else 0.0
    else:
        p = float(2 * stats.norm.sf(abs(mean) / error))
    return Difference(mean, error, p, count)


def adjust(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for their number (Benjamini and Hochberg, 1995); NaN stays NaN."""
    values = np.asarray(p_values, float)
    known = ~np.isnan(values)
    if known.any():
        values[known] = stats.false_discovery_control(values[known])
    return values.tolist()


@dataclasses.dataclass(frozen=True)
class Ranks:
    """A comparison of several models over several tasks (Demsar, JMLR 2006).

    Attributes:
      mean: Mean rank by model, 1 is the best; sorted.
      tasks: int. Number of tasks.
      p: float. Friedman's test that all models are the same.
      critical_distance: float. Nemenyi's: mean ranks that differ by less do not differ.
    """

    mean: Mapping[str, float]
    tasks: int
    p: float
    critical_distance: float


def rank_models(scores: pd.DataFrame) -> Ranks | None:
    """Ranks models by their scores over tasks; None with fewer than 3 models or 2 tasks.

    Args:
      scores: A row for each task, a column for each model. Tasks without a score of each model are
        left out.
    """
    scores = scores.dropna()
    tasks, models = scores.shape
    if models < 3 or tasks < 2:
        return None
    mean = scores.rank(axis=1, ascending=False).mean().sort_values()
    p = float(stats.friedmanchisquare(*(scores[model] for model in scores)).pvalue)
    quantile = stats.studentized_range.ppf(1 - LEVEL, models, np.inf) / math.sqrt(2)
    distance = float(quantile * math.sqrt(models * (models + 1) / (6 * tasks)))
    return Ranks(mean.to_dict(), tasks, p, distance)
