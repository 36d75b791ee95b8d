"""Every kind of model is pre-trained, saved and scored by the same functions."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc, log_loss
from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.prompted import REPRESENTATIONS, PromptedMPTRec
from mptrec_tf.models.registry import MODELS, ModelKind
from mptrec_tf.models.towers import TowerOutputs
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.reference import score_backbone
from mptrec_tf.training.representations import encode_rows
from mptrec_tf.training.run_context import RunContext
from mptrec_tf.training.statistics import compute_statistics

OLD = ("click", "like")
KINDS = (
    "single",
    "shared_bottom",
    "mmoe",
    "ple",
    "stem",
    "aitm",
    "sparse_sharing",
    "csrec",
    "linear",
)


class Linear(MultiTaskModel):
    """A logistic regression for each task, with neither shared nor specific representations."""

    kind = "linear"

    def __init__(self, shape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks = len(shape.tasks)
        self.dense = keras.layers.Dense(tasks, name="dense")
        self.finish(shared=0, specific=0)

    def encode(self, features, training=None):
        x, ids = self.embed(features)
        none = tf.zeros([0, tf.shape(x)[0], self.shape.width])
        return Encoded(x, ids, none, none)

    def predict_tasks(self, encoded, training=None):
        return TowerOutputs(tf.transpose(self.dense(encoded.x)))

    def rescale(self, scale, shift):
        kernel, bias = self.dense.weights
        kernel.assign(kernel * tf.constant(scale, tf.float32))
        bias.assign(bias * tf.constant(scale, tf.float32) + tf.constant(shift, tf.float32))

    def joint_parameters(self, new_tasks=1):
        return self.count_other_parameters([]) + new_tasks * (self.input_width + 1)


@pytest.fixture(scope="module", autouse=True)
def _linear():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODELS, "_kinds", dict(MODELS._kinds))
        MODELS.register("linear", ModelKind(Linear, offers=frozenset()))
        yield


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


def short(kind, **training):
    fields = {"epochs": 3, "batch_size": 64, "learning_rate": 5e-3, "seed": 1}
    shape = {"expert_units": (12, 8), "tower_units": (4,)}
    return PretrainingConfig(OLD, kind, shape, training=TrainingConfig(**fields | training))


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: RunContext(str(folder / kind), show_progress=False) for kind in KINDS}


@pytest.fixture(scope="module")
def trained(data, contexts):
    """Each kind of model after a short pre-training, and what that did."""
    return {kind: pretrain(data, short(kind), context) for kind, context in contexts.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_pretraining(trained, data, kind):
    model, result = trained[kind]
    assert model.kind == kind
    assert len(result.history) == 3
    assert result.steps == 3 * 24
    for task in OLD:
        assert result.history[-1][f"loss/{task}"] < result.history[0][f"loss/{task}"]
        assert result.best[f"val_auc/{task}"] > 0.6
    assert result.settings["model"] == kind
    assert result.settings["losses"] == to_plain(MODELS.get(kind).losses())
    rows = load_rows(data, "validation", OLD)
    tasks = data.spec.select_tasks(OLD)
    # The best epoch's weights; calibration leaves the order of rows, but for ties.
    for task, value in score_backbone(model, tasks, rows).items():
        assert value == pytest.approx(result.best[f"val_auc/{task}"], abs=1e-3)


@pytest.mark.parametrize("kind", ["shared_bottom", "linear"])
def test_it_is_calibrated(trained, data, tmp_path, kind):
    plain, without = pretrain(
        data, short(kind, calibrate=False), RunContext(str(tmp_path), show_progress=False)
    )
    model, result = trained[kind]
    assert without.calibration == {}
    assert result.history == without.history  # the same seed
    rows = load_rows(data, "validation", OLD)
    before, after = plain(rows.columns).numpy(), model(rows.columns).numpy()
    labels = rows.columns[LABELS].numpy()
    for i, task in enumerate(OLD):
        scale, shift = result.calibration[task]
        np.testing.assert_allclose(after[:, i], scale * before[:, i] + shift, rtol=1e-3, atol=1e-4)
        losses = [
            log_loss(labels[:, i], 1 / (1 + np.exp(-logits[:, i].astype(np.float64))))
            for logits in (before, after)
        ]
        assert losses[1] < losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_it_knows_its_training_rows(trained, data, kind):
    model, _ = trained[kind]
    rows = load_rows(data, "train", OLD)
    statistics = compute_statistics(model, rows)
    inputs = model.head_inputs(model.encode(rows.columns))
    for of, axis in (("x", 0), ("shared", 1), ("specific", 1), ("logits", 1)):
        values = getattr(inputs if of == "logits" else inputs.encoded, of).numpy()
        values = values.astype(np.float64)
        mean, deviation = getattr(statistics.mean, of), getattr(statistics.deviation, of)
        assert mean.shape == deviation.shape == values.mean(axis).shape
        np.testing.assert_allclose(mean, values.mean(axis), atol=1e-5, err_msg=of)
        np.testing.assert_allclose(deviation, values.std(axis), atol=1e-5, err_msg=of)
        weights = model.named_weights()
        np.testing.assert_allclose(
            weights[f"standard_{of}/mean"].numpy().ravel(), mean.ravel(), atol=1e-6
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_run_trains_no_more(trained, data, contexts, kind):
    again, result = pretrain(data, short(kind), contexts[kind])
    assert result.steps == 0
    expected, actual = trained[kind][0].named_weights(), again.named_weights()
    assert actual.keys() == expected.keys()
    for name, weight in expected.items():
        np.testing.assert_array_equal(actual[name], weight, err_msg=name)


def test_another_model_does_not_go_on_with_the_run(trained, data, contexts):
    with pytest.raises(InputError, match=r"unfinished run with other settings \(model\)"):
        pretrain(data, short("shared_bottom"), contexts["single"])


def test_rows_that_do_not_fit_in_memory_are_streamed(data, tmp_path):
    context = RunContext(str(tmp_path), show_progress=False, memory_limit=0)
    _, result = pretrain(data, short("single"), context)
    for task in OLD:
        assert result.history[-1][f"loss/{task}"] < result.history[0][f"loss/{task}"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_and_loaded_bit_for_bit(trained, data, tmp_path, kind):
    model, _ = trained[kind]
    fingerprint = save_backbone(str(tmp_path), model, data.spec, data.transform_dir, {"seed": 4})
    stored = load_backbone(str(tmp_path))
    assert (stored.fingerprint, stored.model.kind) == (fingerprint, kind)
    assert type(stored.model) is type(model)
    assert stored.shape == model.shape
    weights = stored.model.named_weights()
    assert weights.keys() == model.named_weights().keys()
    for name, weight in model.named_weights().items():
        np.testing.assert_array_equal(weights[name], weight)
    rows = load_rows(data, "test", OLD).columns
    np.testing.assert_array_equal(stored.model(rows), model(rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_rows_are_encoded_once_for_new_tasks(trained, data, tmp_path, kind, memory_limit):
    model, _ = trained[kind]
    rows = load_rows(data, "test", ("share",))
    prompted = PromptedMPTRec(model)
    encoded = encode_rows(prompted, rows, str(tmp_path), memory_limit)
    assert (encoded.columns is None) == (memory_limit == 0)
    [batch] = encoded.windows(None, 400)
    assert batch[REPRESENTATIONS].shape == (400, sum(model.layout.sizes))
    actual, expected = prompted.encode(batch), model.head_inputs(model.encode(rows.columns))
    actual_values = (*actual.encoded, actual.prompts, actual.logits)
    expected_values = (*expected.encoded, expected.prompts, expected.logits)
    for one, other in zip(actual_values, expected_values, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(actual.standard, expected.standard, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_a_task_alone_is_trained_as_among_others_that_share_nothing(trained, data, tmp_path):
    """Not the same weights, as it begins with its own; but as good."""
    config = short("single")
    alone = PretrainingConfig(("click",), "single", config.shape, training=config.training)
    model, _ = pretrain(data, alone, RunContext(str(tmp_path), show_progress=False))
    rows = load_rows(data, "test", OLD).columns
    labels = rows[LABELS].numpy()[:, 0]
    one, both = model(rows).numpy()[:, 0], trained["single"][0](rows).numpy()[:, 0]
    assert auc(labels, one) == pytest.approx(auc(labels, both), abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_reports_the_tasks_alone(trained, data, kind):
    model, _ = trained[kind]
    trainer = Trainer(model, data.spec.select_tasks(OLD))
    assert {m.name for m in trainer.metrics} == {"loss/click", "loss/like"}
    assert set(trained[kind][1].history[0]) >= {"loss/click", "val_auc/like", "val_score_sum"}
    assert not [name for name in trained[kind][1].history[0] if "gate" in name or "cosine" in name]
