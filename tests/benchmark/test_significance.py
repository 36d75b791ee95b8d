"""Paired differences, their combination over seeds, and ranks over tasks."""

import math

import pandas as pd
import pytest
from scipy import stats

from mptrec_tf.benchmark.significance import adjust, combine, rank_models


def test_rows_and_seeds_both_make_noise():
    # Mean error over the rows 0.004; variance over seeds of .01 and .03 is .0002, halved.
    both = combine([0.01, 0.03], [0.003, 0.005])
    assert both.mean == pytest.approx(0.02)
    assert both.error == pytest.approx(math.sqrt(0.004**2 + 0.0001))
    assert both.p == pytest.approx(2 * stats.norm.sf(0.02 / both.error))
    assert both.seeds == 2


def test_more_seeds_do_not_lessen_the_noise_of_the_rows():
    one, ten = combine([0.01], [0.004]), combine([0.01] * 10, [0.004] * 10)
    assert (one.error, one.p) == (pytest.approx(0.004), pytest.approx(ten.p))


def test_ends_of_the_scale():
    assert combine([0.0], [0.0]).p == 1.0
    assert combine([0.1], [0.0]).p == 0.0
    assert math.isnan(combine([], []).mean)
    assert combine([], []).seeds == 0


def test_adjusted_p_values():
    # Benjamini and Hochberg: sorted p times n over rank, made monotonic from the largest.
    adjusted = adjust([0.04, 0.01, math.nan, 0.03])
    assert adjusted[:2] == pytest.approx([0.04, 0.03])
    assert math.isnan(adjusted[2])
    assert adjusted[3] == pytest.approx(0.04)


def test_ranks_over_tasks():
    scores = pd.DataFrame(
        {"a": [0.9, 0.8, 0.7, 0.9], "b": [0.8, 0.9, 0.6, 0.8], "c": [0.7, 0.7, 0.5, None]}
    )
    ranks = rank_models(scores)
    # The last task has no score of c. Ranks: 1 2 1, 2 1 2, 3 3 3.
    assert ranks.tasks == 3
    assert ranks.mean == pytest.approx({"a": 4 / 3, "b": 5 / 3, "c": 3.0})
    # 12 / (3 * 3 * 4) * (4^2 + 5^2 + 9^2) - 3 * 3 * 4 = 14/3; chi squared with 2 degrees.
    assert ranks.p == pytest.approx(math.exp(-14 / 6))
    # Demsar's table: q of 3 models at .05 is 2.343.
    assert ranks.critical_distance == pytest.approx(2.343 * math.sqrt(12 / 18), rel=1e-3)


def test_too_little_to_rank():
    assert rank_models(pd.DataFrame({"a": [0.9, 0.8], "b": [0.8, 0.9]})) is None
    assert rank_models(pd.DataFrame({"a": [0.9], "b": [0.8], "c": [0.1]})) is None
