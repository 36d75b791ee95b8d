import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import mptrec_tf  # noqa: F401  selects Keras 2
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
from mptrec_tf.models.shapes import MPTRecShape
from mptrec_tf.models.trainer import Plan
from mptrec_tf.storage.directories import exclusive_lock
from mptrec_tf.training import loop
from mptrec_tf.training.batches import make_memory_rows
from mptrec_tf.training.callbacks import EndEpoch, KeepBest, ProgressBar, StopEarly, Validate
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.run_context import RunContext

SHAPE = MPTRecShape(
    tasks=("a", "b"),
    inputs=(InputShape("categorical", 3, 12), InputShape("numeric", 2)),
    expert_units=(8, 6),
    tower_units=(4,),
)


class KilledError(Exception):
    """Stands for a signal that ends the process."""


class Killed(MPTRecTrainer):
    """Ends at the end of an epoch, before that is saved."""

    killed_in = None
    traced = 0

    def train_step(self, inputs):
        Killed.traced += 1
        return super().train_step(inputs)

    def end_epoch(self, epoch, batches):
        if epoch == self.killed_in:
            raise KilledError
        super().end_epoch(epoch, batches)


def tasks_of(shape):
    return [BinaryTask(name, name, ("1",), ("0",)) for name in shape.tasks]


def make_trainer(shape=SHAPE, rows=300, steps=1):
    return Killed(MPTRec(shape), tasks_of(shape), plan=Plan(steps, rows), name="m")


def pretrain(
    train,
    validation,
    directory,
    *,
    epochs=5,
    killed_in=None,
    shape=SHAPE,
    patience=9,
    **context,
):
    def make_model():
        model = make_trainer(shape, train.count, steps=50)
        model.killed_in = killed_in
        return model

    loop.seed_everything(3)
    config = TrainingConfig(epochs=epochs, patience=patience, batch_size=32, seed=3)
    job = loop.Job(
        make_model=make_model,
        select_weights=lambda model: {
            "val_score_sum": list(model.backbone.named_weights().values())
        },
        train=train,
        validation=validation,
        tasks=tasks_of(shape),
        settings={"shape": dataclasses.asdict(shape)},
    )
    model, results = loop.run(job, config, RunContext(str(directory), **context))
    weights = {k: v.numpy() for k, v in model.backbone.named_weights().items()}
    return weights, results["val_score_sum"]


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Directory of the run of `whole`."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(train, validation, finished):
    """Weights, what the training did, and how often its step was traced."""
    Killed.traced = 0
    return *pretrain(train, validation, finished), Killed.traced


def test_a_step_is_traced_once(whole):
    assert whole[2] == 1


def test_same_seed_gives_the_same_weights_to_the_last_bit(whole, train, validation, tmp_path):
    assert_same(pretrain(train, validation, tmp_path)[0], whole[0])


def test_training_learns(whole):
    history = whole[1].history
    assert history[-1]["loss/a"] < history[0]["loss/a"]
    assert whole[1].best["val_auc/a"] > 0.7


def test_every_epoch_logs_the_measures_of_the_paper(whole):
    assert {
        "loss/a",
        "shared_loss/b",
        "discriminator/loss",
        "discriminator/accuracy",
        "environment/a",
        "environment/b",
        "val_auc/a",
        "val_score_sum",
        "gate/a",
        "cosine/b",
    } <= whole[1].history[0].keys()
    for logs in whole[1].history:
        assert logs["environment/a"] + logs["environment/b"] == pytest.approx(1)
        assert logs["val_score_sum"] == pytest.approx(logs["val_auc/a"] + logs["val_auc/b"])


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_killed_run_ends_like_one_that_was_not_killed(train, validation, tmp_path, dropout):
    shape = dataclasses.replace(SHAPE, expert_dropout=dropout, tower_dropout=dropout)
    expected, _ = pretrain(train, validation, tmp_path / "whole", shape=shape)
    with pytest.raises(KilledError):
        pretrain(train, validation, tmp_path / "run", shape=shape, killed_in=3)
    weights, result = pretrain(train, validation, tmp_path / "run", shape=shape)
    assert_same(weights, expected)
    assert len(result.history) == 5
    assert result.steps == 2 * 10  # two epochs were left


def test_a_finished_run_that_is_started_again_trains_no_more(whole, train, validation, finished):
    weights, result = pretrain(train, validation, finished)
    assert result.steps == 0
    assert_same(weights, whole[0])


def test_a_run_with_other_settings_is_not_continued(whole, train, validation, finished):
    with pytest.raises(InputError, match=r"unfinished run with other settings \(epochs\)"):
        pretrain(train, validation, finished, epochs=6)


def test_a_directory_that_cannot_be_written_is_named(train, validation, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write .*file/run: "):
        pretrain(train, validation, tmp_path / "file" / "run")


def test_validation_rows_that_cannot_choose_an_epoch_are_named(train, validation, tmp_path):
    labels = validation.columns["labels"].numpy()
    weight = tf.constant(labels[:, 1])  # the negatives of the second task weigh nothing
    weighed = make_memory_rows({**validation.columns, "weight": weight})
    with pytest.raises(InputError, match="task 'b' has one class only in the validation rows"):
        pretrain(train, weighed, tmp_path)


def test_the_terminal_is_released_when_training_fails(train, validation, tmp_path, monkeypatch):
    stopped = []
    monkeypatch.setattr(ProgressBar, "stop", lambda self: stopped.append(self._progress.stop()))
    with pytest.raises(KilledError):
        pretrain(train, validation, tmp_path, killed_in=0, show_progress=True)
    assert len(stopped) == 1


def test_one_epochs_state_is_stored(whole, finished):
    names = sorted(path.name for path in finished.iterdir())
    best = whole[1].best_epoch
    assert [n for n in names if n.startswith("best-")] == [f"best-{best:04d}.npz"]
    assert [n for n in names if n.startswith("epoch-") and n.endswith(".index")] == [
        "epoch-0004.index"
    ]


def test_each_part_has_its_best_epoch_and_training_stops_when_none_has_patience():
    weights = [tf.Variable(0.0), tf.Variable(0.0)]
    bests = [
        KeepBest([weight], patience=2, monitor=f"val_auc/{name}")
        for weight, name in zip(weights, "ab", strict=True)
    ]
    stop = StopEarly(bests)
    stop.set_model(keras.Model())
    stop.model.stop_training = False
    aucs = [(0.5, 0.5), (0.7, 0.4), (0.6, 0.8), (0.7, 0.7), (0.9, 0.7)]
    for epoch, (a, b) in enumerate(aucs):
        assert not stop.model.stop_training
        for best, weight, name, auc in zip(bests, weights, "ab", (a, b), strict=True):
            weight.assign(epoch)
            best.on_epoch_end(epoch, {f"val_auc/{name}": auc})
        stop.on_epoch_end(epoch)
    assert stop.model.stop_training
    # The first part's patience was used up before its last epoch, which does not count.
    assert [best.epoch for best in bests] == [1, 2]
    for best in bests:
        best.restore_weights()
    assert [weight.numpy() for weight in weights] == [1, 2]


def test_training_stops_when_patience_is_used_up(train, validation, tmp_path):

    _, result = pretrain(train, validation, tmp_path, epochs=40, patience=1)
    assert len(result.history) < 40
    assert result.best_epoch == len(result.history) - 2
    assert max(range(len(result.history)), key=lambda i: result.history[i]["val_score_sum"]) == (
        result.best_epoch
    )


def test_validation_means_are_over_all_rows(validation):
    model = make_trainer()
    validate = Validate(validation, tasks_of(SHAPE))
    validate.set_model(model)
    logs = {}
    validate.on_epoch_end(0, logs)
    report = model.report(validation.columns)
    np.testing.assert_allclose(logs["gate/b"], np.mean(report["gate"][:, 1]), rtol=1e-5)
    np.testing.assert_allclose(logs["cosine/a"], np.mean(report["cosine"][:, 0]), rtol=1e-5)


def test_environments_are_updated_at_the_end_of_their_period(train):
    model = make_trainer(rows=train.count)
    before = model.environments.numpy()
    end = EndEpoch(train)
    end.set_model(model)
    end.on_epoch_end(0)
    np.testing.assert_array_equal(model.environments, before)
    end.on_epoch_end(1)
    losses = model.sample_losses(train.columns).numpy()
    np.testing.assert_array_equal(model.environments, losses.argmin(axis=0))


def test_an_unfinished_checkpoint_of_a_killed_run_is_ignored(whole, train, validation, tmp_path):
    with pytest.raises(KilledError):
        pretrain(train, validation, tmp_path, killed_in=2)
    for epoch in (1, 2):
        parts = tmp_path / f"epoch-{epoch:04d}_temp"
        parts.mkdir()
        (parts / "part-00000-of-00001.data-00000-of-00001.tempstate123").write_bytes(b"half")
    weights, _ = pretrain(train, validation, tmp_path)
    assert_same(weights, whole[0])
    assert not (tmp_path / "epoch-0001_temp").exists()


def test_a_task_may_be_named_sum(train, validation, tmp_path):
    shape = dataclasses.replace(SHAPE, tasks=("sum", "b"))
    _, result = pretrain(train, validation, tmp_path, epochs=2, shape=shape)
    assert 0 < result.best["val_auc/sum"] < 1
    assert result.best["val_score_sum"] == pytest.approx(
        result.best["val_auc/sum"] + result.best["val_auc/b"]
    )


def test_two_runs_cannot_use_one_directory(whole, train, validation, finished):
    with (
        exclusive_lock(str(finished)),
        pytest.raises(InputError, match="another process is at work in"),
    ):
        pretrain(train, validation, finished)
    assert_same(pretrain(train, validation, finished)[0], whole[0])
