"""Verdicts: what is worse, what is noise, and what nobody can know."""

import math

import pytest

from mptrec_tf.evaluation.gate import (
    BETTER,
    CALIBRATION,
    FEW,
    GROUPED,
    OTHER,
    SAME,
    UNSURE,
    WORSE,
    Gate,
    Verdict,
    decide,
    list_accepted,
    list_blocked_tasks,
    list_blocking,
    make_rows,
)


def make_verdict(outcome="", **changes):
    fields = {
        "task": "a",
        "measure": "AUC",
        "slice": "",
        "production": 0.7,
        "candidate": 0.7,
        "difference": 0.0,
        "error": 0.0,
        "rows": 100,
    }
    return Verdict(**fields | changes, outcome=outcome)


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


@pytest.mark.parametrize(
    ("difference", "error", "outcome"),
    [
        (0.05, 0.01, WORSE),  # .05 - .0164 > .02
        (0.05, 0.02, UNSURE),  # .05 - .0329 < .02
        (-0.05, 0.02, BETTER),  # nearer to calibrated
        (0.0, 0.01, SAME),
    ],
)
def test_a_smaller_calibration_error_is_better(difference, error, outcome):
    assert Gate(margin=1.0).judge(difference, error, 500, measure=CALIBRATION) == outcome


def test_a_higher_confidence_blocks_less():
    assert Gate(0.01, 0.9).judge(-0.02, 0.007, 500) == WORSE  # 1.2816 standard errors
    assert Gate(0.01, 0.99).judge(-0.02, 0.005, 500) == UNSURE  # 2.3263


def test_slices_share_the_chance_of_an_error():
    """Of 10 slices each has a confidence of .995: 2.5758 standard errors instead of 1.6449."""
    gate = Gate(margin=0.01)
    assert gate.judge(-0.02, 0.005, 500, tests=10) == UNSURE  # -.02 + .0129 > -.01
    assert gate.judge(-0.02, 0.0038, 500, tests=10) == WORSE  # -.02 + .0098 < -.01
    worse = {"difference": -0.02, "error": 0.005}
    slices = [make_verdict(slice=f"s={i}", **worse) for i in range(10)]
    alone = decide([make_verdict(**worse), *slices[:1]], gate)
    assert [v.outcome for v in alone] == [WORSE, WORSE]
    together = decide([make_verdict(**worse), *slices], gate)
    assert [v.outcome for v in together] == [WORSE, *[UNSURE] * 10]
    # Thin slices, other measures and other tasks do not count.
    others = [
        *(make_verdict(FEW, slice=f"t={i}", rows=3) for i in range(10)),
        *(make_verdict(slice=f"s={i}", measure=GROUPED) for i in range(10)),
        *(make_verdict(slice=f"s={i}", task="b") for i in range(10)),
    ]
    assert decide([*slices[:1], *others], gate)[0].outcome == WORSE


def test_what_blocks_a_push_unless_it_is_accepted():
    of = [
        make_verdict(outcome, task=name)
        for name, outcome in (("a", WORSE), ("b", UNSURE), ("c", FEW), ("d", BETTER), ("e", OTHER))
    ]
    assert [v.task for v in list_blocking(of, ())] == ["a", "c", "e"]
    assert [v.task for v in list_blocking(of, ("c", "d"))] == ["a", "e"]
    assert list_accepted([*of, make_verdict(WORSE, task="c")], ("e", "d", "c")) == ["c", "e"]


def test_only_too_few_rows_of_all_block():
    worse = make_verdict(WORSE, slice="city=Rome", measure=CALIBRATION)
    few = [
        make_verdict(FEW),
        make_verdict(FEW, slice="city=Rome"),
        make_verdict(FEW, measure=GROUPED),
    ]
    assert [v.blocks for v in (worse, *few)] == [True, True, False, False]
    assert list_blocked_tasks([worse, few[0], make_verdict(WORSE, task="b")]) == "a,b"


def test_of_many_slices_those_that_decide_are_shown():
    of = [make_verdict(SAME), make_verdict(UNSURE, measure=CALIBRATION)]
    of += [make_verdict(BETTER, slice=f"b={i}") for i in range(30)]
    of += [make_verdict(FEW, slice=f"f={i}") for i in range(1200)]
    of += [make_verdict(WORSE, slice="w=1")]
    *rows, better, few = make_rows(of)
    assert [row["slice"] for row in rows] == ["all", "all", "w=1", *(f"b={i}" for i in range(19))]
    assert better == {"slice": "11 more by task and measure", "verdict": BETTER}
    assert few == {"slice": "1,200 more by task and measure", "verdict": FEW}
    assert make_rows([]) == []


@pytest.mark.parametrize(
    ("difference", "error", "shown"),
    [(-0.01234, 0.005, "-0.0123 ± 0.0050"), (math.nan, math.nan, "unknown")],
)
def test_a_difference_may_be_unknown(difference, error, shown):
    assert make_verdict(FEW, difference=difference, error=error).show_difference() == shown


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (
            make_verdict(WORSE, candidate=0.68, difference=-0.02, error=0.003),
            "task 'a' is worse than in production: AUC 0.6800 after 0.7000, a difference of "
            "-0.0200 ± 0.0030, beyond the margin of 0.001 with a confidence of 0.95",
        ),
        (
            make_verdict(
                WORSE,
                slice="city=Rome",
                measure=CALIBRATION,
                production=0.01,
                candidate=0.1,
                difference=0.09,
                error=0.01,
            ),
            "task 'a' in the slice city=Rome is worse than in production: calibration error 0.1000 "
            "after 0.0100, a difference of +0.0900 ± 0.0100, beyond the margin of 0.02 with a "
            "confidence of 0.95",
        ),
        (
            make_verdict(FEW, rows=12),
            "task 'a' has too few test rows to know whether it is worse: 12 informative ones (of a "
            "binary task, of the rarer label), fewer than 50; give more test rows, or lower "
            "--least_positives",
        ),
        (
            make_verdict(FEW, error=math.nan),
            "task 'a': the difference of AUC is unknown; check its test labels and predictions",
        ),
        (
            make_verdict(OTHER),
            "task 'a' has other labels than in production, so that their scores cannot be compared",
        ),
    ],
)
def test_reasons_in_words(verdict, text):
    assert verdict.explain(Gate()) == text
