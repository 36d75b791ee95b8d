"""Both stages as runs on prepared data, in memory and streamed."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.packed import LABELS, WEIGHT
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
from mptrec_tf.models.prompted import REPRESENTATIONS, PromptedMPTRec
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.models.trainer import Plan
from mptrec_tf.models.weights import named_weights
from mptrec_tf.training import loop, representations
from mptrec_tf.training.batches import load_rows, make_memory_rows, make_ordered_batches
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.prompt_tuning import tune
from mptrec_tf.training.representations import encode_rows, encode_task
from mptrec_tf.training.run_context import RunContext

OLD = ("click", "like")
SHORT = TrainingConfig(epochs=2, batch_size=128, seed=4)
HEAD = PromptConfig(tower_units=(4,))


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


@pytest.fixture
def stored(synthetic_backbone):
    return load_backbone(str(synthetic_backbone))


def values_of(weights):
    return {name: weight.numpy() for name, weight in weights.items()}


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


def short_pretraining(data, directory, assignment="online", training=SHORT, **settings):
    config = PretrainingConfig(
        OLD,
        shape={"expert_units": (12, 8), "tower_units": (4,)},
        losses={"assignment": assignment},
        training=training,
    )
    return pretrain(data, config, RunContext(str(directory), show_progress=False, **settings))


def short_tuning(stored, data, directory, training=SHORT, head=HEAD, encoded=None, **settings):
    context = RunContext(
        str(directory), show_progress=False, fingerprint=stored.fingerprint, **settings
    )
    heads = {"prompt": head}
    return tune(stored.model, data, "share", heads, training, context, encoded)["prompt"]


def test_a_streamed_pretraining_with_online_assignment(data, tmp_path):
    backbone, result = short_pretraining(data, tmp_path / "a", memory_limit=0)
    assert len(result.history) == 2
    assert result.steps == 2 * 12
    assert result.history[1]["loss/click"] < result.history[0]["loss/click"]
    again, _ = short_pretraining(data, tmp_path / "b", memory_limit=0)
    assert_same(values_of(again.named_weights()), values_of(backbone.named_weights()))


def test_periodic_assignment_needs_rows_in_memory(data, tmp_path):
    with pytest.raises(InputError, match=r"holds 1500 training rows, .*; use --assignment=online"):
        short_pretraining(data, tmp_path, "periodic", memory_limit=0)
    assert os.listdir(tmp_path) == []


def test_training_that_diverges_is_reported(data, tmp_path):
    wild = TrainingConfig(epochs=3, batch_size=128, learning_rate=1e30)
    with pytest.raises(InputError, match=r"diverged in epoch 1: .*use a smaller --learning_rate"):
        short_pretraining(data, tmp_path, training=wild)


@pytest.fixture(scope="module")
def weighted_rows(data):
    """Rows of which the first 700 weigh nothing."""
    rows = load_rows(data, "train", OLD)
    weight = np.ones(1500, np.float32)
    weight[:700] = 0
    columns = {k: v for k, v in rows.columns.items() if k != "row"}
    return make_memory_rows({**columns, WEIGHT: tf.constant(weight)})


def test_rows_without_weight_do_not_train(stored, weighted_rows):
    tasks, plan = stored.spec.select_tasks(OLD), Plan(steps=1, rows=1500)
    model = MPTRecTrainer(stored.model, tasks, MPTRecLosses(assignment="online"), plan)
    columns = {k: v for k, v in weighted_rows.columns.items() if k != "row"}
    only = {k: v[700:] for k, v in columns.items() if k != WEIGHT}
    assert float(model.compute_loss(columns)) == pytest.approx(
        float(model.compute_loss(only)), rel=1e-5
    )
    plain = {k: v for k, v in columns.items() if k != WEIGHT}
    assert float(model.compute_loss(columns)) != pytest.approx(
        float(model.compute_loss(plain)), rel=1e-4
    )


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_weights_go_with_the_representations(stored, weighted_rows, tmp_path, memory_limit):
    model = PromptedMPTRec(stored.model)
    rows = encode_rows(model, weighted_rows, str(tmp_path), memory_limit)
    weights = np.concatenate([batch[WEIGHT] for batch in make_ordered_batches(rows, 100)])
    np.testing.assert_array_equal(weights, weighted_rows.columns[WEIGHT])


def test_representations_on_disk_are_those_in_memory(stored, data, tmp_path, monkeypatch):
    model = PromptedMPTRec(stored.model)
    rows = load_rows(data, "train", ("share",))
    held = encode_rows(model, rows, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    assert held.columns[REPRESENTATIONS].shape == (1500, 7 * 4 + 3 + 3 * 8 + 2)
    monkeypatch.setattr(
        representations, "make_ordered_batches", lambda rows: make_ordered_batches(rows, 400)
    )  # four files
    on_disk = encode_rows(model, rows, str(tmp_path / "train"), memory_limit=0)
    assert (on_disk.columns, on_disk.count) == (None, 1500)
    assert len(os.listdir(tmp_path / "train")) == 4 * 3  # with ids and labels
    batches = list(make_ordered_batches(on_disk, 128))
    for name in (REPRESENTATIONS, LABELS):
        actual = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_allclose(actual, held.columns[name], rtol=1e-5, atol=1e-6)


def test_representations_on_disk_may_be_of_16_bits(stored, data, tmp_path):
    model = PromptedMPTRec(stored.model)
    rows = load_rows(data, "train", ("share",))
    ways = [encode_rows(model, rows, str(tmp_path / str(half)), 0, half) for half in (False, True)]
    [whole], [halved] = (list(make_ordered_batches(way, 1500)) for way in ways)
    assert {name: of.dtype for name, of in whole.items()} == {
        name: of.dtype for name, of in halved.items()
    }
    exact = whole[REPRESENTATIONS].numpy()
    np.testing.assert_array_equal(halved[REPRESENTATIONS], exact.astype(np.float16))
    assert not np.array_equal(halved[REPRESENTATIONS], exact)
    for name in whole.keys() - {REPRESENTATIONS}:
        np.testing.assert_array_equal(halved[name], whole[name])
    sizes = [
        sum(file.stat().st_size for file in (tmp_path / str(half)).glob(f"*.{REPRESENTATIONS}"))
        for half in (False, True)
    ]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, rel=0.01)


def test_numbers_beyond_16_bits_are_named(stored, data, tmp_path, monkeypatch):
    model = PromptedMPTRec(stored.model)
    large = {REPRESENTATIONS: tf.constant([[1.0, 65_520.0]]), LABELS: tf.constant([[1e6]])}
    monkeypatch.setattr(representations, "_encode", lambda model, batch: large)
    rows = load_rows(data, "train", ("share",))
    encode_rows(model, rows, str(tmp_path), 0)
    with pytest.raises(InputError, match=r"representations have numbers beyond 65504, .* leave"):
        encode_rows(model, rows, str(tmp_path), 0, float16_on_disk=True)


def test_a_directory_that_cannot_be_written_is_named(stored, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    rows = load_rows(data, "train", ("share",))
    with pytest.raises(InputError, match=r"cannot write .*file/train/000000\."):
        encode_rows(PromptedMPTRec(stored.model), rows, str(tmp_path / "file" / "train"), 0)


def test_tuning_on_what_was_spilled_and_going_on_with_it(stored, data, tmp_path):
    head, result = short_tuning(stored, data, tmp_path / "whole", memory_limit=0)
    expected = values_of(named_weights(head))
    assert all(np.isfinite(value).all() for value in expected.values())
    assert result.history[1]["loss/share"] < result.history[0]["loss/share"]
    assert {"train", "validation", "state.json"} <= set(os.listdir(tmp_path / "whole"))
    # A run that ended after its first epoch: half of the spilled files are gone, one is cut.
    run = tmp_path / "run"
    _, first = short_tuning(
        stored, data, run, TrainingConfig(1, batch_size=128, seed=4), memory_limit=0
    )
    state = json.loads((run / "state.json").read_text())
    state["settings"]["epochs"] = 2
    (run / "state.json").write_text(json.dumps(state))
    (run / "train" / f"000000.{REPRESENTATIONS}").write_bytes(b"cut")
    (run / "validation" / f"000000.{LABELS}").unlink()
    again, rest = short_tuning(stored, data, run, memory_limit=0)
    assert (first.steps, rest.steps) == (12, 12)
    assert_same(values_of(named_weights(again)), expected)


def test_another_runs_files_are_left_alone(stored, data, tmp_path):
    short_tuning(stored, data, tmp_path, TrainingConfig(1, batch_size=128), memory_limit=0)
    (tmp_path / "train" / f"000000.{REPRESENTATIONS}").write_bytes(b"of the other run")
    other = PromptConfig(attention="fixed", tower_units=(4,))
    with pytest.raises(InputError, match=r"unfinished run with other settings \(.*head.*\)"):
        short_tuning(stored, data, tmp_path, head=other, memory_limit=0)
    content = (tmp_path / "train" / f"000000.{REPRESENTATIONS}").read_bytes()
    assert content == b"of the other run"


def test_every_row_is_encoded_once_for_all_epochs(stored, data, tmp_path, monkeypatch):
    model = PromptedMPTRec(stored.model)
    rows, encode_once = [], PromptedMPTRec.encode_once

    def counted(self, batch):
        rows.append(len(batch[LABELS]))
        return encode_once.__get__(self, type(self))(batch)

    def never(*_, **__):
        raise AssertionError("the backbone should not encode during training")

    monkeypatch.setattr(PromptedMPTRec, "encode_once", counted)
    encoded = encode_task(model, data, ["share"], RunContext(str(tmp_path)))
    assert sum(rows) == 1500 + 400
    monkeypatch.setattr(MPTRec, "encode", never)
    training = TrainingConfig(epochs=3, batch_size=128)
    _, result = short_tuning(stored, data, tmp_path, training, encoded=encoded)
    assert len(result.history) == 3
    assert sum(rows) == 1500 + 400


def test_tuning_leaves_the_backbone_alone(stored, data, tmp_path, monkeypatch):
    models = []
    compile_model = loop.compile_model

    def compiled(model, *args):
        compile_model(model, *args)
        models.append(model)

    monkeypatch.setattr(loop, "compile_model", compiled)
    before = values_of(stored.model.named_weights())
    head, _ = short_tuning(stored, data, tmp_path)
    assert_same(values_of(stored.model.named_weights()), before)
    [model] = models
    assert {id(w) for w in model.trainable_weights} == {id(w) for w in head.weights}
    # Adam stores two slots for each weight that it trains, beside its step and learning rate.
    slots = sum(int(tf.size(v)) for v in model.optimizer.variables if v.shape.rank)
    assert slots == 2 * sum(int(tf.size(w)) for w in head.weights)


def test_a_damaged_state_is_named(stored, data, tmp_path):
    once = TrainingConfig(1, batch_size=128, seed=4)
    short_tuning(stored, data, tmp_path, once)
    whole = (tmp_path / "state.json").read_text()
    for damage in (
        lambda: (tmp_path / "best-0000.npz").write_bytes(b"cut"),
        lambda: (tmp_path / "epoch-0000.index").unlink(),
        lambda: (tmp_path / "state.json").write_text(whole[:50]),
    ):
        damage()
        with pytest.raises(
            InputError, match=r"the unfinished run in .* is damaged .*; remove that"
        ):
            short_tuning(stored, data, tmp_path, once)
