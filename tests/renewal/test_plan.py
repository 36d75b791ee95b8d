"""What a renewal takes over of the model in production, and what it rejects before any work."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import json

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import write_manifest
from mptrec_tf.export.version_contents import PARTS
from mptrec_tf.models.heads.registry import HEADS, shape_to_plain
from mptrec_tf.renewal.plan import check_names, find_kind, make_plan
from mptrec_tf.storage.plain import to_plain


def test_tasks_settings_and_heads_are_those_of_production(trained):
    plan = make_plan(str(trained))
    assert plan.version == f"{trained}/1"
    assert plan.spec.task_names == ("click", "like", "seconds", "share")
    assert [f.name for f in plan.spec.features] == ["user", "item", "place", "price", "tags"]
    config = plan.pretraining
    assert config.tasks == ("click", "like")
    assert (config.model, config.shape["expert_units"]) == ("mptrec", (12, 8))
    assert config.losses["gen_weight"] == 0.5
    assert (config.training.epochs, config.training.batch_size) == (3, 128)
    share, seconds = plan.heads["share"], plan.heads["seconds"]
    assert (share.head, seconds.head) == ("residual_small", "fixed")
    assert share.shape["tower_units"] == (5,)
    assert share.training["epochs"] == 2
    assert share.training["schedule"] == HEADS.get("residual_small").recipe["schedule"]


def test_what_the_old_rows_decided_is_forgotten(trained):
    [seconds] = make_plan(str(trained)).spec.select_tasks(["seconds"])
    assert (seconds.mean, seconds.deviation) == (0.0, 1.0)
    assert seconds.scale == "standard"


def test_promoted_and_retired_tasks(trained):
    plan = make_plan(str(trained), promote=["share"], retire=["like", "seconds"])
    assert plan.pretraining.tasks == ("click", "share")
    assert plan.spec.task_names == ("click", "share")
    assert not plan.heads
    assert plan.retired == ("like", "seconds")


def test_another_head_and_seed_for_all(trained):
    plan = make_plan(str(trained), head="auto", seed=7)
    assert {of.head for of in plan.heads.values()} == {"auto"}
    assert {of.training["seed"] for of in plan.heads.values()} == {7}
    assert plan.pretraining.training.seed == 7


@pytest.mark.parametrize("name", HEADS.names())
def test_the_kind_of_a_stored_head_is_found(name):
    assert find_kind(to_plain(shape_to_plain(HEADS.get(name).make_shape()))) == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promote": ["click"]}, "--promote names 'click', and the added tasks .* seconds, share"),
        ({"retire": ["shar"]}, "--retire names 'shar', and the tasks .*did you mean 'share'"),
        ({"promote": ["share"], "retire": ["share"]}, "'share' is both to be promoted and to be"),
        ({"promote": ["share", "share"]}, "--promote names 'share' twice; name each task once"),
        ({"retire": ("like", "like")}, "--retire names 'like' twice"),
        ({"retire": ["click", "like"]}, "--retire names all pre-trained tasks .*click, like"),
    ],
)
def test_names_that_make_no_sense(trained, changes, message):
    with pytest.raises(InputError, match=message):
        make_plan(str(trained), **changes)


def test_an_accepted_task_that_is_none():
    check_names("accept", ["like"], ("click", "like"))
    with pytest.raises(InputError, match=r"--accept names 'lik', .* click, like.* mean 'like'"):
        check_names("accept", ["click", "lik"], ("click", "like"))


def test_a_head_that_does_not_fit_the_model(production):
    path = production / "1" / PARTS / "backbone" / "backbone.json"
    content = json.loads(path.read_text())
    del content["shape"]["fusion"]
    path.write_text(json.dumps(content | {"model": "single"}))
    write_manifest(str(production / "1"))
    with pytest.raises(InputError, match=r"head 'fixed' reads .*model 'single' does not have"):
        make_plan(str(production), head="fixed")


def test_no_model_is_there(tmp_path):
    with pytest.raises(InputError, match="holds no version"):
        make_plan(str(tmp_path))


@pytest.mark.parametrize(
    ("part", "key", "message"),
    [
        ("backbone/backbone.json", "losses", "has no record of its losses.*use mptrec-pretrain"),
        ("tasks/share/task.json", "training", "'share' cannot be trained again .*give --head"),
    ],
)
def test_a_record_without_the_settings_of_a_training(production, part, key, message):
    path = production / "1" / PARTS / part
    content = json.loads(path.read_text())
    del content["training"][key]
    path.write_text(json.dumps(content))
    write_manifest(str(production / "1"))
    with pytest.raises(InputError, match=message):
        make_plan(str(production))
    if "--head" in message:
        assert make_plan(str(production), head="auto").heads["share"].training == {"seed": 1}
