"""Heads that begin with the weights that they had on the old backbone, and short trainings."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import os

import numpy as np
import pytest

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.models.encoded import Layout
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.weights import named_weights
from mptrec_tf.renewal.plan import make_plan
from mptrec_tf.renewal.warm_head import WarmHead
from mptrec_tf.renewal.warm_start import WarmStart, list_column_meanings, shorten_training
from mptrec_tf.training.configurations import NewTaskConfig, TrainingConfig


@pytest.fixture(scope="module")
def parts(trained):
    """The old backbone, and the old packages by task."""
    backbone, packages = load_parts(str(trained))
    return backbone, {package.task.name: package for package in packages}


@pytest.fixture(scope="module")
def plan(trained):
    return make_plan(str(trained))


@pytest.fixture(scope="module")
def new_backbone(parts, plan, month, open_rows, tmp_path_factory):
    """One of the next month, whose vocabularies are others; untrained."""
    folder = tmp_path_factory.mktemp("warm_head") / "data"
    data = prepare(open_rows(month(1), plan.spec), str(folder))
    model = MODELS.get("mptrec").make(plan.pretraining.make_shape(data))
    directory = os.path.dirname(data.transform_dir)
    return dataclasses.replace(parts[0], model=model, spec=data.spec, directory=directory)


@pytest.mark.parametrize(
    ("epochs", "schedule", "left"),
    [(30, "constant", 3), (31, "constant", 4), (1, "constant", 1), (15, "cosine", 3)],
)
def test_a_training_is_shortened_by_hand(epochs, schedule, left):
    whole = TrainingConfig(epochs, learning_rate=3e-3, seed=7, patience=2, schedule=schedule)
    short = shorten_training(whole)
    assert (short.epochs, short.schedule, short.warmup_steps) == (left, "cosine", 100)
    assert (short.learning_rate, short.seed, short.batch_size) == (3e-3, 7, whole.batch_size)
    assert shorten_training(dataclasses.replace(whole, warmup_steps=9)).warmup_steps == 9


def test_a_backbone_with_a_task_that_the_old_one_lacks_takes_the_whole_training(trained, parts):
    warm = WarmStart(parts[0], data=None)
    config = make_plan(str(trained)).pretraining
    assert (config.training.epochs, warm.shorten(config).training.epochs) == (3, 1)
    retired = make_plan(str(trained), retire=["like"]).pretraining
    assert warm.shorten(retired).training.epochs == 1
    promoted = make_plan(str(trained), promote=["share"]).pretraining
    assert warm.shorten(promoted) == promoted


def test_a_head_begins_with_its_weights_and_ids_follow_their_values(parts, plan, new_backbone):
    old, packages = parts
    package, config = packages["share"], plan.heads["share"]
    warm = WarmHead(package, old, new_backbone)
    ranges = tuple(get_id_ranges(new_backbone.spec, open_transform(new_backbone.transform_dir)))
    shape = HEADS.get("residual_small").make_shape(ranges, **config.shape)
    head = make_head(shape, new_backbone.model.layout, "share")
    warm.begin(head)
    before, after = named_weights(package.head), named_weights(head)
    assert before.keys() == after.keys()
    for name, weight in before.items():
        if name != "ids/weights":
            np.testing.assert_array_equal(weight, after[name], name)

    def list_weights(backbone, weights):
        """The weight of each value by column and value."""
        meanings = list_column_meanings(backbone.spec, backbone.transform_dir)
        of = [meaning for column in sorted(meanings) for meaning in meanings[column]]
        assert len(of) == weights.shape[0]
        return dict(zip(of, weights.numpy(), strict=True))

    known = list_weights(old, before["ids/weights"])
    begun = list_weights(new_backbone, after["ids/weights"])
    users = [key for key in known if key[0].startswith("user\t")]
    mean = np.mean([known[key] for key in users])
    user = users[0][0]
    assert begun[user, "u15"] == known[user, "u15"]
    assert (user, "u35") not in known
    assert begun[user, "u35"] == pytest.approx(mean, abs=1e-6)
    assert known[user, "u15"] != 0.0  # they were trained


def test_another_kind_shape_or_backbone_begins_afresh(parts, plan, new_backbone):
    old, packages = parts
    warm, config = WarmHead(packages["share"], old, new_backbone), plan.heads["share"]
    assert warm.fits(config)
    others = (
        NewTaskConfig("auto", training={"seed": 1}),
        NewTaskConfig("prompt", training={"seed": 1}),
        NewTaskConfig("residual_small", training={"seed": 1}),  # of the default widths
    )
    assert not any(map(warm.fits, others))
    model = MODELS.get("mptrec").make(dataclasses.replace(old.shape, tasks=("click", "share")))
    assert not WarmHead(packages["share"], old, dataclasses.replace(old, model=model)).fits(config)


def test_a_shortened_head_keeps_its_kind_and_shape(parts, plan, new_backbone):
    old, packages = parts
    config = plan.heads["share"]
    short = WarmHead(packages["share"], old, new_backbone).shorten(config)
    assert (short.head, short.shape) == (config.head, config.shape)
    assert (config.training["epochs"], short.training["epochs"]) == (2, 1)
    assert short.training["seed"] == config.training["seed"]


@pytest.mark.parametrize("kind", HEADS.names())
def test_heads_name_the_weights_that_know_single_ids(kind):
    experts = {"experts": 3, "expert_units": (8, 16)}
    layout = Layout(input_width=20, shared=1, specific=2, width=16, tasks=2, ids=3, **experts)
    ranges = ((0, 0, 40), (1, 40, 300), (2, 340, 5))
    head = make_head(HEADS.get(kind).make_shape(ranges), layout, "share")
    weights = named_weights(head)
    for name, of in head.list_id_tables().items():
        assert weights[name].shape[0] == sum(count for _, _, count in of)
    of_ids = {name for name in weights if name in ("ids/weights", "own/table")}
    assert of_ids == set(head.list_id_tables())
