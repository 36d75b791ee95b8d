"""Which model is pre-trained, and how: plain data, checked and read back."""

import dataclasses
import json

import pytest

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import (
    ModelShape,
    MPTRecLosses,
    MPTRecShape,
    PlainLosses,
    select_free_fields,
)
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.reference import make_joint_config, make_single_config

FULL = PretrainingConfig(
    ("click", "like"),
    "mptrec",
    {"expert_units": (12, 8), "tower_units": (4,), "l2_dense": 0.5, "fusion": "share_only"},
    {"gen_weight": 0.3, "assignment": "online"},
    TrainingConfig(epochs=3, schedule="cosine"),
)


@pytest.mark.parametrize(
    "config",
    [
        FULL,
        PretrainingConfig(("click",)),
        PretrainingConfig(("a", "b"), "single", {"expert_units": (3, 2)}),
    ],
)
def test_a_configuration_goes_through_json(config):
    plain = json.loads(json.dumps(dataclasses.asdict(config)))
    assert PretrainingConfig.from_plain(plain) == config


def test_what_holds_where_nothing_is_said():
    config = PretrainingConfig(("click",))
    assert config.model == "mptrec"
    assert config.make_losses() == MPTRecLosses()
    assert config.training == TrainingConfig()
    assert PretrainingConfig(("click",), "single").make_losses() == PlainLosses()


def test_a_shape_fits_the_data(prepared_synthetic):
    data = PreparedData(str(prepared_synthetic))
    assert FULL.make_shape(data) == MPTRecShape(
        ("click", "like"),
        (InputShape("categorical", 7, data.inputs[0].rows), InputShape("numeric", 3)),
        expert_units=(12, 8),
        tower_units=(4,),
        l2_dense=0.5,
        fusion="share_only",
    )
    for model in ("single", "shared_bottom"):
        config = PretrainingConfig(("like",), model, {"embedding_width": 3})
        expected = ModelShape(("like",), data.inputs, embedding_width=3)
        assert config.make_shape(data) == expected
    with pytest.raises(InputError, match="unknown task 'clik'"):
        PretrainingConfig(("clik",)).make_shape(data)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (FULL, None),
        (PretrainingConfig(("a",), "single", {"expert_units": (3,)}), None),
        (
            PretrainingConfig(("a",), "single", {"expert_units": (3,), "fusion": "full"}),
            "model 'single' has no fusion; leave it out.",
        ),
        (
            PretrainingConfig(("a",), "shared_bottom", losses={"gen_weight": 0.9}),
            "model 'shared_bottom' has no gen_weight; leave it out.",
        ),
        (
            PretrainingConfig(("a",), shape={"width": 3, "expert_unit": (3,)}),
            "model 'mptrec' has no expert_unit; leave it out.",
        ),
        (
            PretrainingConfig(("a",), "mptrek"),
            f"unknown model 'mptrek'; there are {', '.join(MODELS.names())}; did you mean "
            "'mptrec'?",
        ),
        (PretrainingConfig(("a", "b"), "ple", {"levels": 2}, {"loss_weights": "1,0.5"}), None),
        (PretrainingConfig(("a", "b"), losses={"loss_weights": "pcgrad"}), None),
        (PretrainingConfig(("a", "b"), losses={"loss_weights": "equal"}), None),
        (
            PretrainingConfig(("a", "b"), losses={"loss_weights": "1"}),
            "loss_weights '1' are 1 and tasks are 2 (a, b); give a number for each task.",
        ),
        (
            PretrainingConfig(("a", "b"), losses={"loss_weights": "1,-2"}),
            "loss_weights must be 0 or more, and not all 0, not '1,-2'; give other numbers.",
        ),
        (
            PretrainingConfig(("a", "b"), losses={"loss_weights": "nan,1"}),
            "loss_weights must be 0 or more, and not all 0, not 'nan,1'; give other numbers.",
        ),
        (
            PretrainingConfig(("a", "b"), losses={"loss_weights": "0,0"}),
            "loss_weights must be 0 or more, and not all 0, not '0,0'; give other numbers.",
        ),
        (
            PretrainingConfig(("a", "b"), losses={"loss_weights": "pcgrat"}),
            "loss_weights are numbers by commas, or one of equal, uncertainty, dwa, pcgrad, not "
            "'pcgrat'; did you mean 'pcgrad'?",
        ),
    ],
)
def test_fields_that_a_model_does_not_have_are_named(config, message):
    if message is None:
        config.check_fields()
        return
    with pytest.raises(InputError) as rejection:
        config.check_fields()
    assert str(rejection.value) == message


def test_what_is_saved_of_the_settings():
    assert FULL.record() == {
        "losses": {
            "gen_weight": 0.3,
            "adversarial_weight": 0.1,
            "assignment": "online",
            "cluster_every": 2,
            "normalize_losses": False,
        },
        "training": {
            "epochs": 3,
            "patience": 5,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "seed": 1,
            "schedule": "cosine",
            "warmup_steps": 0,
            "calibrate": True,
        },
    }
    assert PretrainingConfig(("a",), "single").record()["losses"] == {}
    weighed = PretrainingConfig(("a",), "single", losses={"loss_weights": "dwa"})
    assert weighed.record()["losses"] == {"loss_weights": "dwa"}


# Reference points of a new task.

INPUTS = (InputShape("categorical", 5, 100), InputShape("numeric", 3))
SHAPE = MPTRecShape(("a", "b"), INPUTS, expert_units=(12, 8), l2_dense=0.5, fusion="share_only")


def test_fields_that_do_not_follow_from_the_data():
    assert select_free_fields(SHAPE) == {
        "embedding_width": 4,
        "expert_units": (12, 8),
        "tower_units": (64, 32),
        "expert_dropout": 0.0,
        "tower_dropout": 0.0,
        "l2_embedding": 0.006,
        "l2_embedding_over": "table",
        "l2_dense": 0.5,
        "fusion": "share_only",
    }


def test_a_task_alone_has_a_network_of_the_same_widths():
    training = TrainingConfig(seed=7)
    config = make_single_config(SHAPE, ["c"], training)
    config.check_fields()
    assert (config.tasks, config.model, config.training) == (("c",), "single", training)
    assert config.shape["expert_units"] == (12, 8)
    assert config.shape["l2_dense"] == 0.5
    assert "fusion" not in config.shape


@pytest.mark.parametrize("kind", MODELS.names())
def test_joint_training_is_of_the_same_kind_and_shape(kind):
    fields = {"expert_units": (12, 8), "l2_dense": 0.5}
    model = MODELS.get(kind).make(MODELS.get(kind).shape(("a", "b"), INPUTS, **fields))
    config = make_joint_config(model, "c", TrainingConfig(seed=7))
    config.check_fields()
    assert (config.tasks, config.model) == (("a", "b", "c"), kind)
    assert config.shape == select_free_fields(model.shape)
    assert config.training == TrainingConfig(seed=7)
    assert config.losses == {}
