"""The choice of a new task's head, and its reference points."""

import copy
import os

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.prompt_shape import ATTENTIONS
from mptrec_tf.models.heads.registry import HEADS
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.weights import named_weights
from mptrec_tf.training import new_task
from mptrec_tf.training.batches import load_rows, make_memory_rows
from mptrec_tf.training.configurations import NewTaskConfig, TrainingConfig
from mptrec_tf.training.new_task import choose_candidates, learn
from mptrec_tf.training.prompt_tuning import tune
from mptrec_tf.training.reference import compare, describe_comparison
from mptrec_tf.training.representations import encode_rows
from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext

# The heads that "auto" tries on MPT-Rec; the tower stands in for other models only.
KINDS = (*ATTENTIONS, "residual", "residual_small")


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


@pytest.fixture(scope="module")
def stored(synthetic_backbone):
    return load_backbone(str(synthetic_backbone))


def context(stored, directory, **changes):
    fields = {"show_progress": False, "fingerprint": stored.fingerprint}
    return RunContext(str(directory), **fields | changes)


def learn_share(stored, data, directory, memory_limit=MEMORY_LIMIT, **training):
    fields = {"epochs": 2, "batch_size": 128, "seed": 4}
    return learn(
        stored.model,
        data,
        "share",
        NewTaskConfig("auto", {"tower_units": (4,)}, fields | training),
        context(stored, directory, memory_limit=memory_limit),
    )


def with_few_labels(patch):
    """Whatever the labels, auto tries the paper's heads: three are trained sooner than five."""
    patch.setattr(
        HeadKind, "is_candidate", lambda kind, labels: kind.candidate and not kind.least_labels
    )


@pytest.fixture
def few_labels(monkeypatch):
    with_few_labels(monkeypatch)


@pytest.fixture(scope="module")
def papers_heads(stored, data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        with_few_labels(patch)
        return learn_share(stored, data, tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def every_head(stored, data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeadKind, "is_candidate", lambda kind, labels: kind.candidate)
        return learn_share(stored, data, tmp_path_factory.mktemp("auto"))


def test_every_candidate_is_tried_and_the_smallest_good_one_is_chosen(every_head):
    chosen, candidates = every_head
    assert {c.kind for c in candidates} == set(KINDS)
    sizes = [c.parameters for c in candidates]
    assert sizes == sorted(sizes)
    best = max(c.score for c in candidates)
    for c in candidates:
        assert c.behind == pytest.approx(best - c.score)
    smaller = candidates[: candidates.index(chosen)]
    assert chosen.behind <= chosen.noise
    assert all(c.behind > c.noise for c in smaller)


def test_the_heads_have_their_best_epochs_weights(every_head, data):
    positives = data.splits["validation"]["tasks"]["share"]["positives"]
    for c in every_head[1]:
        curve = [logs["val_auc/share"] for logs in c.result.history]
        assert c.result.best_epoch == int(np.argmax(curve))
        # Calibration rounds logits again: a pair of rows that almost tie may change places.
        pair = 1 / (positives * (400 - positives))
        assert c.score == pytest.approx(max(curve), abs=5 * pair)


def test_a_head_learns_beside_others_what_it_learns_alone(with_xla, stored, data, tmp_path):
    shapes = {kind: HEADS.get(kind).make_shape() for kind in ("fixed", "task_similarity")}

    def trained(kinds, folder):
        heads = tune(
            stored.model,
            data,
            "share",
            {kind: shapes[kind] for kind in kinds},
            TrainingConfig(epochs=2, batch_size=128, schedule="cosine"),
            context(stored, tmp_path / folder),
        )
        return heads["fixed"]

    # The first head starts with the same weights in both runs.
    alone, result = trained(["fixed"], "alone")
    beside, other = trained(["fixed", "task_similarity"], "beside")
    assert [*result.history[0]] == [*other.history[0]]
    for weight, again in zip(alone.weights, beside.weights, strict=True):
        np.testing.assert_allclose(weight, again, rtol=1e-3, atol=1e-5)


def test_heads_that_auto_does_not_try_are_trained_alike(stored, data, tmp_path):
    kinds = ("gate_tower", "own_expert", "lora", "own_embedding")
    shapes = new_task._make_shapes(kinds, stored.model, data, {})

    def train():
        training = TrainingConfig(epochs=2, batch_size=128, learning_rate=5e-3)
        return tune(stored.model, data, "share", shapes, training, context(stored, tmp_path))

    trained, again = train(), train()
    for kind in kinds:
        (head, result), (same, other) = trained[kind], again[kind]
        assert result.history[1]["loss/share"] < result.history[0]["loss/share"], kind
        assert (result.steps, other.steps) == (2 * 12, 0)
        weights, restored = named_weights(head), named_weights(same)
        assert weights.keys() == restored.keys()
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight, restored[name], err_msg=f"{kind} {name}")


def test_recipes_of_their_own(every_head):
    by_kind = {c.kind: c.training for c in every_head[1]}
    assert by_kind["prompt"] == TrainingConfig(epochs=2, batch_size=128, seed=4)
    assert by_kind["residual"].schedule == "cosine"
    assert by_kind["residual"].learning_rate == 2e-3


def test_with_few_labels_no_head_has_an_expert_of_its_own(stored, data):
    other = copy.copy(data)
    for positives, expected in (
        (99, ATTENTIONS),
        (100, KINDS),
        (1900, KINDS),
        (1901, ATTENTIONS),  # 99 negatives
    ):
        other.splits = {"train": {"rows": 2000, "tasks": {"share": {"positives": positives}}}}
        assert choose_candidates(stored.model, other, "share") == expected


def test_the_same_seed_gives_the_same_choice_bit_for_bit(
    papers_heads, few_labels, stored, data, tmp_path
):
    one, other = papers_heads[0], learn_share(stored, data, tmp_path)[0]
    assert one.kind == other.kind
    for weight, again in zip(one.head.weights, other.head.weights, strict=True):
        np.testing.assert_array_equal(weight, again)
    # A finished run is not trained again, and another one is rejected.
    again, _ = learn_share(stored, data, tmp_path)
    assert again.result.steps == 0
    with pytest.raises(InputError, match=r"unfinished run with other settings \(seed\)"):
        learn_share(stored, data, tmp_path, seed=5)


def test_unknown_heads_and_fields_are_rejected(stored, data, tmp_path):
    with pytest.raises(InputError, match="unknown head 'best'; give auto or one of prompt, fixed"):
        NewTaskConfig("best")
    with pytest.raises(InputError, match="head 'residual' has no tau; leave it out"):
        learn(
            stored.model,
            data,
            "share",
            NewTaskConfig("residual", {"tau": 2.0}),
            context(stored, tmp_path),
        )


def test_streamed_rows_give_several_heads_the_same_label(
    papers_heads, few_labels, stored, data, tmp_path
):
    _, streamed = learn_share(stored, data, tmp_path, memory_limit=0)
    assert {"train", "validation", "logs"} <= set(os.listdir(tmp_path))
    held = {c.kind: c for c in papers_heads[1]}
    assert {c.kind for c in streamed} == set(ATTENTIONS)
    # Few rows are one window in both runs, but in another order: as good, not the same.
    for candidate in streamed:
        losses = [c.result.best["loss/share"] for c in (candidate, held[candidate.kind])]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_reference_points(stored, data, tmp_path):
    head, _ = tune(
        stored.model,
        data,
        "share",
        {"fixed": HEADS.get("fixed").make_shape()},
        TrainingConfig(epochs=1, batch_size=128),
        context(stored, tmp_path / "head"),
    )["fixed"]
    rows = compare(
        stored.model,
        data,
        "share",
        head,
        TrainingConfig(epochs=1, batch_size=128),
        context(stored, tmp_path / "compared"),
    )
    assert [row["task"] for row in rows] == ["click", "like", "share"]
    expected = {f"{who}_{split}" for who in ("frozen", "joint") for split in ("validation", "test")}
    for row in rows:
        assert expected <= row.keys()
        assert all(0 < row[key] < 1 for key in expected)
    assert {"single_validation", "single_test"} <= rows[-1].keys()
    assert "single_test" not in rows[0]


def test_one_positive_among_the_validation_rows(few_labels, stored, data, tmp_path):
    rows = {split: load_rows(data, split, ("share",)) for split in ("train", "validation")}
    labels = np.zeros((400, 1), np.float32)
    labels[7] = 1
    columns = {k: v for k, v in rows["validation"].columns.items() if k != "row"}
    one = make_memory_rows({**columns, "labels": tf.constant(labels)})
    model = PromptedMPTRec(stored.model)
    encoded = tuple(encode_rows(model, part, "unused") for part in (rows["train"], one))
    chosen, candidates = learn(
        stored.model,
        data,
        "share",
        NewTaskConfig(training={"epochs": 1, "batch_size": 512}),
        context(stored, tmp_path),
        encoded,
    )
    assert chosen is candidates[0]  # the scores do not differ, so the smallest


def test_what_was_compared_is_said_in_words():
    compared = [
        {"task": "click", "frozen_test": 0.70, "joint_test": 0.7031, "joint_noise_test": 0.0012},
        {"task": "like", "frozen_test": 0.70, "joint_test": 0.7023, "joint_noise_test": 0.0012},
        {
            "task": "share",
            "frozen_test": 0.80,
            "joint_test": 0.79,
            "joint_noise_test": 0.002,
            "single_test": 0.80,
            "single_noise_test": 0.0,
        },
        {"task": "buy", "frozen_test": np.nan, "joint_test": np.nan, "joint_noise_test": np.nan},
    ]
    tasks = [BinaryTask(row["task"], row["task"], ("1",)) for row in compared]
    assert describe_comparison(compared, tasks) == [
        "click: joint training would be better by 0.0031 of test AUC (standard error 0.0012)",
        "like: joint training would make no difference beyond noise "
        "(+0.0023 of test AUC, standard error 0.0012)",
        "share: joint training would be worse by 0.0100 of test AUC (standard error 0.0020)",
        "share: a model of its own would make no difference beyond noise "
        "(+0.0000 of test AUC, standard error 0.0000)",
        "buy: joint training cannot be judged: the test rows have one class only",
    ]
