"""Verdicts: what is worse, what is noise, and what nobody can know."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import math

import pytest

from mptrec_tf.renewal.verdict import (
    BETTER,
    FEW,
    SAME,
    UNSURE,
    WORSE,
    Gate,
    Verdict,
    list_blocking,
)


@pytest.mark.parametrize(
    ("difference", "error", "rows", "outcome"),
    [
        # 1.645 standard errors at a confidence of .95, one-sided; the margin is .01.
        (-0.0200, 0.0050, 500, WORSE),  # -.02 + .0082 < -.01
        (-0.0200, 0.0070, 500, UNSURE),  # -.02 + .0115 > -.01
        (0.0000, 0.0060, 500, SAME),  # 0 - .0099 > -.01
        (0.0000, 0.0070, 500, UNSURE),  # 0 - .0115 < -.01
        (0.0100, 0.0060, 500, BETTER),  # .01 - .0099 > 0
        (0.0000, 0.0000, 500, SAME),
        (-0.0200, 0.0050, 49, FEW),
        (math.nan, math.nan, 500, FEW),
        (-0.5, math.inf, 500, FEW),
    ],
)
def test_outcomes_by_hand(difference, error, rows, outcome):
    assert Gate(margin=0.01).judge(difference, error, rows) == outcome


def test_a_higher_confidence_blocks_less():
    assert Gate(0.01, 0.9).judge(-0.02, 0.007, 500) == WORSE  # 1.2816 standard errors
    assert Gate(0.01, 0.99).judge(-0.02, 0.005, 500) == UNSURE  # 2.3263


def test_what_blocks_a_push_unless_it_is_accepted():
    of = [
        Verdict(name, "AUC", 0.7, 0.7, 0.0, 0.0, 100, outcome)
        for name, outcome in (("a", WORSE), ("b", UNSURE), ("c", FEW), ("d", BETTER))
    ]
    assert [v.task for v in list_blocking(of, ())] == ["a", "c"]
    assert [v.task for v in list_blocking(of, ("c", "d"))] == ["a"]


@pytest.mark.parametrize(
    ("difference", "error", "shown"),
    [(-0.01234, 0.005, "-0.0123 ± 0.0050"), (math.nan, math.nan, "unknown")],
)
def test_a_difference_may_be_unknown(difference, error, shown):
    assert Verdict("a", "AUC", 0.7, 0.7, difference, error, 9, FEW).show_difference() == shown
