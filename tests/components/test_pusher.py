import json
from pathlib import Path

import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import model_artifact
from components.blessing import bless
from components.pusher import executor
from components.pusher.component import Pusher
from mptrec_tf.errors import InputError

GATES = {
    "evaluation": standard_artifacts.ModelBlessing,
    "serving": standard_artifacts.InfraBlessing,
    "frozen_tasks": standard_artifacts.ModelBlessing,
}


@pytest.fixture
def push(tmp_path, run_component):
    """Pushes a model with the given verdicts (without: all bless) to a serving directory."""
    runs = iter(range(100))

    def push(model, verdicts=None, **settings):
        folder = tmp_path / f"push-{next(runs)}"
        inputs = {"model": model}
        for name, verdict in (verdicts or dict.fromkeys(GATES, True)).items():
            inputs[name] = GATES[name]()
            inputs[name].uri = f"{folder}/{name}"
            Path(inputs[name].uri).mkdir(parents=True)
            bless(inputs[name], model, verdict)
        settings = {"serving_dir": f"{tmp_path}/serving"} | settings
        return run_component(Pusher, folder / "out", inputs, **settings)["pushed_model"]

    return push


def pushed(artifact):
    """Custom properties of a PushedModel, and nothing else."""
    return {
        key: value.int_value if value.HasField("int_value") else value.string_value
        for key, value in artifact.mlmd_artifact.custom_properties.items()
    }


def files_of(folder):
    """Every file below a folder with what it holds, and every directory."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes() if path.is_file() else None
    return found


def test_versions_are_counted(tmp_path, push, model, grown, copy_artifact):
    again = copy_artifact(grown, tmp_path / "again")
    for version, pushed_one in (("1", model), ("2", grown), ("3", again)):
        assert pushed(push(pushed_one)) == {
            "pushed": 1,
            "pushed_destination": f"{tmp_path}/serving/{version}",
            "pushed_version": version,
        }
        folder = tmp_path / "serving" / version
        assert executor.pushed_model(str(folder)) == pushed_one.uri
        found = files_of(folder)
        note = json.loads(found.pop(executor.PUSHED_FILE))
        assert note == {"model": pushed_one.uri, "model_id": pushed_one.id}
        assert found == files_of(model_artifact.serving_directory(pushed_one.uri))
    assert sorted(p.name for p in (tmp_path / "serving").iterdir()) == ["1", "2", "3"]


def test_versions_are_counted_as_numbers(tmp_path, push, model):
    for name in ("9", "10"):
        source = model_artifact.serving_directory(model.uri)
        executor.copy_directory(source, f"{tmp_path}/serving/{name}")
    assert pushed(push(model))["pushed_version"] == "11"


def test_a_pushed_version_answers_as_the_model_did(tmp_path, push, grown):
    push(grown)
    examples, expected = model_artifact.expected(grown.uri)
    served = tf.saved_model.load(f"{tmp_path}/serving/1")
    answers = served.signatures["serving_default"](examples=tf.constant(examples))
    assert set(answers) == set(expected) == {"click", "like", "share"}
    for task, probabilities in expected.items():
        assert abs(answers[task].numpy() - probabilities).max() < 1e-6


@pytest.mark.parametrize("refusing", GATES)
def test_each_blessing_alone_refuses(tmp_path, push, model, refusing):
    found = push(model, dict.fromkeys(GATES, True) | {refusing: False})
    assert pushed(found) == {"pushed": 0, "refused_by": refusing}
    assert not (tmp_path / "serving").exists()


def test_every_refusal_is_named(push, model):
    found = pushed(push(model, dict.fromkeys(GATES, False)))
    assert found["pushed"] == 0
    assert set(found["refused_by"].split(",")) == set(GATES)


def test_without_a_frozen_task_validator_two_blessings_are_enough(push, model):
    assert pushed(push(model, {"evaluation": True, "serving": True}))["pushed_version"] == "1"


def test_a_copy_that_fails_half_way_leaves_the_serving_directory_as_it_was(
    tmp_path, monkeypatch, push, model, grown
):
    push(model)
    before = files_of(tmp_path / "serving")
    copied = []

    def half(source, target):
        for path in sorted(Path(source).rglob("*.pb")):
            Path(target, path.name).write_bytes(path.read_bytes()[:100])
            copied.append(path.name)
        raise OSError("no space left on device")

    monkeypatch.setattr(executor, "copy_directory", half)
    with pytest.raises(OSError, match="no space left"):
        push(grown)
    assert "saved_model.pb" in copied
    assert files_of(tmp_path / "serving") == before
    monkeypatch.undo()
    assert pushed(push(grown))["pushed_version"] == "2"


def test_the_newest_version_is_not_pushed_twice(tmp_path, push, model, grown):
    first = pushed(push(model))
    before = files_of(tmp_path / "serving")
    assert pushed(push(model)) == first
    assert files_of(tmp_path / "serving") == before
    push(grown)
    assert pushed(push(grown))["pushed_version"] == "2"
    assert pushed(push(model, may_drop_tasks=True))["pushed_version"] == "3"


def test_a_model_that_lost_a_task_is_refused_unless_it_may(tmp_path, push, model, grown):
    push(grown)
    found = pushed(push(model))
    assert found.pop("lost_tasks").startswith("the new model lacks share, which version 1 in ")
    assert found == {"pushed": 0, "refused_by": ""}
    assert [p.name for p in (tmp_path / "serving").iterdir()] == ["1"]
    assert pushed(push(model, may_drop_tasks=True)) == {
        "pushed": 1,
        "pushed_destination": f"{tmp_path}/serving/2",
        "pushed_version": "2",
    }


def test_a_version_that_no_pipeline_pushed_says_so(tmp_path, push, model):
    push(model)
    (tmp_path / "serving" / "1" / executor.PUSHED_FILE).write_text("{}")
    with pytest.raises(InputError, match=r"serving/1 was not pushed by a pipeline"):
        executor.pushed_model(f"{tmp_path}/serving/1")
    assert pushed(push(model))["pushed_version"] == "2"
