"""A candidate and production on the same rows: differences, errors, and what is not computed."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import math

import numpy as np
import pytest

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.evaluation import bootstrap
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
)
from mptrec_tf.evaluation.metrics import auc, calibration_ratio, grouped_auc
from mptrec_tf.inference.paired import compare_paired

BUY = BinaryTask("buy", "bought", "yes")
ALL = Gate(least_positives=1)


def make_spec(*tasks):
    return DatasetSpec("shop", (Numeric("price"),), tasks)


def compare(labels, new, old, gate=ALL, task=BUY, slices=None, **columns):
    spec = make_spec(task)
    columns = {
        f"label/{task.name}": np.asarray(labels, np.float32),
        f"prediction/{task.name}": np.asarray(new, np.float32),
        f"production/{task.name}": np.asarray(old, np.float32),
        **{name: np.asarray(values) for name, values in columns.items()},
    }
    found = compare_paired(spec, spec, columns, gate, slices or {})
    return {(v.measure, v.slice): v for v in found}


def simulate(rows, seed, noise=0.0, users=None):
    """Labels, and the probabilities that they were drawn with; `noise` is of the logit."""
    random = np.random.default_rng(seed)
    z = random.normal(size=rows) - 1.5
    if users is not None:
        z += random.normal(size=users.max() + 1)[users]
    p = 1 / (1 + np.exp(-z))
    labels = random.random(rows) < p
    return labels, p, 1 / (1 + np.exp(-(z + noise * random.normal(size=rows))))


def test_the_auc_by_hand():
    """Pairs in order: 3 of 4 after 4 of 4; DeLong's shares by row."""
    [auc_verdict, _] = compare([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4]).values()
    assert (auc_verdict.production, auc_verdict.candidate) == (1.0, 0.75)
    assert auc_verdict.difference == -0.25
    # Positives gain -1/2 and 0, negatives 0 and -1/2: variances 1/8 each, over 2 rows each.
    assert auc_verdict.error == pytest.approx(math.sqrt(1 / 8 / 2 + 1 / 8 / 2))
    assert (auc_verdict.rows, auc_verdict.outcome) == (2, UNSURE)


def test_calibration_and_auc_within_users_by_hand():
    labels, users = [0, 1, 0, 1, 1], ["u", "u", "v", "v", "w"]
    old, new = [0.2, 0.4, 0.6, 0.8, 0.5], [0.9, 0.4, 0.6, 0.8, 0.5]
    found = compare(labels, new, old, user=users)
    calibration, grouped = found[CALIBRATION, ""], found[GROUPED, ""]
    assert calibration.production == pytest.approx(abs(math.log(2.5 / 3)))
    assert calibration.candidate == pytest.approx(abs(math.log(3.2 / 3)))
    # Users u and v have an AUC: 1 and 1 before, 0 and 1 after; w has one label.
    assert (grouped.production, grouped.candidate, grouped.difference) == (1.0, 0.5, -0.5)
    assert grouped.rows == 2


def test_measures_are_those_of_the_reports():
    users = np.random.default_rng(1).integers(0, 300, 3000)
    labels, old, new = simulate(3000, 1, 0.5, users)
    weight = np.random.default_rng(2).random(3000)
    found = compare(labels, new, old, user=users.astype(str), weight=weight)
    for side, predictions in (("candidate", new), ("production", old)):
        p = predictions.astype(np.float32)
        assert getattr(found["AUC", ""], side) == pytest.approx(auc(labels, p, weight))
        ratio = calibration_ratio(labels, p, weight)
        assert getattr(found[CALIBRATION, ""], side) == pytest.approx(abs(math.log(ratio)))
        assert getattr(found[GROUPED, ""], side) == pytest.approx(grouped_auc(users, labels, p))


def test_equal_predictions_make_no_difference_however_few_rows_there_are():
    [verdict] = compare([1, 0, 1], [0.3, 0.2, 0.1], [0.3, 0.2, 0.1], Gate()).values()
    assert (verdict.difference, verdict.error, verdict.outcome) == (0, 0, SAME)
    [verdict] = compare([np.nan] * 2, [0.3, 0.2], [0.3, 0.2], Gate()).values()
    assert (verdict.difference, verdict.outcome, verdict.blocks) == (0, SAME, False)


def test_the_same_result_in_every_run():
    users = np.arange(2000) // 10
    labels, old, new = simulate(2000, 3, 0.5, users)
    assert compare(labels, new, old, user=users) == compare(labels, new, old, user=users)


@pytest.mark.parametrize("measure", [CALIBRATION, GROUPED])
def test_the_bootstraps_error_is_that_of_repeated_samples(measure):
    """Of 40 samples the deviation of the differences is off by 11%, the mean error by 3%."""
    users = np.arange(4000) // 8
    found = []
    for seed in range(40):
        labels, p, noisy = simulate(4000, seed, 0.6, users)
        # Far from calibrated, so that the error has no kink at 0.
        found.append(compare(labels, 1.4 * noisy.clip(0, 0.7), 1.2 * p, user=users)[measure, ""])
    differences, errors = (
        np.array([getattr(v, f) for v in found]) for f in ("difference", "error")
    )
    assert errors.mean() == pytest.approx(differences.std(ddof=1), rel=0.3)


def test_noise_seldom_blocks_and_what_is_worse_does():
    """As good as production but for noise: 5% of 60 comparisons may block, at a margin of 0."""
    gate = Gate(margin=0.0, calibration_margin=0.0)
    users = np.arange(3000) // 10
    blocked = dict.fromkeys(("AUC", CALIBRATION, GROUPED), 0)
    for seed in range(60):
        labels, p, _ = simulate(3000, seed, users=users)
        random = np.random.default_rng(100 + seed)
        new, old = (p * np.exp(0.1 * random.normal(size=3000)) for _ in range(2))
        for (measure, _), verdict in compare(labels, new, old, gate, user=users).items():
            blocked[measure] += verdict.outcome == WORSE
    assert all(count <= 8 for count in blocked.values())  # P(more than 8 of 60 by chance) is .003
    labels, p, noisy = simulate(3000, 1, 2.0, users)
    worse = compare(labels, 1.3 * noisy, p, Gate(), user=users)
    assert {key[0] for key, v in worse.items() if v.outcome == WORSE} == set(blocked)
    better = compare(labels, p, 1.3 * noisy, Gate(), user=users)
    assert {v.outcome for v in better.values()} == {BETTER}


def test_rows_of_one_user_count_together():
    """Ten copies of each row are no ten rows; without users they would be."""
    labels, old, new = (np.repeat(of, 10) for of in simulate(300, 5, 0.5))
    users = np.arange(3000) // 10
    new, old = 1.6 * new, 1.5 * old  # far from calibrated, so that the error has no kink at 0
    together = compare(labels, new, old, user=users)[CALIBRATION, ""]
    apart = compare(labels, new, old)[CALIBRATION, ""]
    assert together.difference == pytest.approx(apart.difference)
    assert together.error == pytest.approx(math.sqrt(10) * apart.error, rel=0.2)


def test_too_few_rows():
    labels = np.arange(200) % 10 == 0
    old = np.linspace(0.1, 0.9, 200)
    [verdict] = compare(labels, old[::-1], old, Gate()).values()
    assert (verdict.outcome, verdict.rows, verdict.blocks) == (FEW, 20, True)
    assert verdict.candidate == pytest.approx(auc(labels, old[::-1]))
    found = compare(np.arange(200) % 2, old[::-1], old, Gate(), user=np.arange(200) // 5)
    assert found[GROUPED, ""].outcome == FEW  # 40 users
    assert not found[GROUPED, ""].blocks


def test_slices():
    """Worse in one of two slices; a third is too thin to say, and blocks nothing."""
    labels, p, _ = simulate(4000, 6)
    places = {"city=Rome": np.arange(2000), "city=Oslo": np.arange(2000, 4000)}
    new = p.copy()
    new[:2000] = np.random.default_rng(1).random(2000)
    thin = places | {"city=Bonn": np.arange(30)}
    found = compare(labels, new, p, Gate(), slices=thin)
    assert found["AUC", "city=Rome"].outcome == WORSE
    assert found["AUC", "city=Rome"].blocks
    assert ("AUC", "city=Oslo") not in found  # the same predictions
    assert found["AUC", "city=Bonn"].outcome == FEW
    assert not found["AUC", "city=Bonn"].blocks
    assert next(iter(found)) == ("AUC", "")
    alone = compare(labels[:2000], new[:2000], p[:2000], Gate())
    assert alone["AUC", ""].difference == found["AUC", "city=Rome"].difference


def test_a_slice_is_compared_as_if_there_were_no_other_rows(monkeypatch):
    """Its users are the only ones that are drawn, however many others there are."""
    drawn = []
    resample = bootstrap.resample
    monkeypatch.setattr(
        bootstrap, "resample", lambda sums: drawn.append(len(sums)) or resample(sums)
    )
    users = np.arange(4000) // 10
    labels, old, new = simulate(4000, 6, 0.5, users)
    last = np.arange(3000, 4000)
    found = compare(labels, new, old, user=users, slices={"city=Oslo": last})
    alone = compare(labels[last], new[last], old[last], user=users[last])
    assert drawn == [400, 100, 100]
    for measure in (CALIBRATION, GROUPED):
        assert found[measure, "city=Oslo"].error == alone[measure, ""].error


def test_rows_without_a_label_or_a_weight_are_left_out():
    labels, old, new = simulate(500, 7, 0.5)
    labels = labels.astype(np.float32)
    weight = np.ones(500, np.float32)
    labels[::5], weight[1::5] = np.nan, 0
    keep = np.arange(500) % 5 > 1
    users = np.arange(500) // 5
    found = compare(labels, new, old, user=users, **{"weight/buy": weight})
    expected = compare(labels[keep], new[keep], old[keep], user=users[keep])
    assert found.keys() == expected.keys()
    for key, verdict in expected.items():
        assert found[key].difference == pytest.approx(verdict.difference)
        assert found[key].error == pytest.approx(verdict.error)


def test_other_kinds_are_compared_by_their_score_alone():
    random = np.random.default_rng(8)
    seconds = random.random(300)
    noisy = seconds + random.normal(size=300)
    found = compare(seconds, noisy, seconds, task=RegressionTask("watch", "seconds"))
    assert {key: v.outcome for key, v in found.items()} == {("concordance", ""): WORSE}
    size = ClassesTask("size", "size", ("S", "M", "L"))
    labels, old = random.integers(0, 3, 300), random.dirichlet(np.ones(3), 300)
    right = np.eye(3)[labels] * 0.9 + 0.1 / 3
    found = compare(labels, right, old, task=size)
    assert {key: v.outcome for key, v in found.items()} == {("AUC", ""): BETTER}


def test_other_labels_cannot_be_compared():
    size = ClassesTask("size", "size", found=("S", "M", "L"))
    before = dataclasses.replace(size, found=("M", "S"))
    columns = {
        "label/size": np.array([0.0, 1.0, 2.0], np.float32),
        "prediction/size": np.eye(3, dtype=np.float32),
        "production/size": np.full((3, 2), 0.5, np.float32),
    }
    [verdict] = compare_paired(make_spec(size), make_spec(before), columns, ALL)
    assert (verdict.outcome, verdict.candidate, verdict.blocks) == (OTHER, 1.0, True)


@pytest.mark.parametrize("task", [BUY, RegressionTask("buy", "bought"), ClassesTask("buy", "b")])
def test_weights_count_in_the_difference_and_in_its_error(task):
    """Where rows of much weight are predicted worse, and all others better, the task is worse."""
    random = np.random.default_rng(9)

    def simulate_weighted(rows):
        labels = random.integers(0, 2, rows).astype(np.float32)
        heavy = random.random(rows) < 0.2
        noise = np.where(heavy, 2.0, 0.5) * random.normal(size=rows)
        scores = [labels + noise, labels + random.normal(size=rows)]
        both = [1 / (1 + np.exp(-of)) for of in scores]
        if isinstance(task, ClassesTask):
            both = [np.stack([1 - of, of], axis=1) for of in both]
        return labels, *both, np.where(heavy, 20.0, 1.0) * random.random(rows)

    found = []
    for _ in range(60):
        labels, new, old, weight = simulate_weighted(400)
        known = dataclasses.replace(task, found=("n", "y")) if task.kind == "classes" else task
        found += [compare(labels, new, old, task=known, weight=weight)[task.score_name, ""]]
        assert found[-1].difference == pytest.approx(
            found[-1].candidate - found[-1].production, abs=1e-5
        )
    differences, errors = (
        np.array([getattr(v, f) for v in found]) for f in ("difference", "error")
    )
    assert differences.mean() < -0.05
    assert errors.mean() == pytest.approx(differences.std(ddof=1), rel=0.25)


def test_without_a_row_that_counts_nothing_is_known():
    """As rows of weight 0, or without a label: other predictions are no reason for a push."""
    without = {"labels": [np.nan] * 2}, {"labels": [1, 0], "weight": [0.0, 0.0]}
    for columns in without:
        [verdict] = compare(new=[0.9, 0.1], old=[0.1, 0.9], **columns).values()
        assert (verdict.outcome, verdict.rows, verdict.blocks) == (FEW, 0, True)
        assert "has too few test rows" in verdict.explain(ALL)
        [same] = compare(new=[0.9, 0.1], old=[0.9, 0.1], **columns).values()
        assert (same.outcome, same.blocks) == (SAME, False)
