import hashlib
import json
import shutil
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.blessing import bless, find_rejections
from components.pusher import executor
from components.pusher.component import Pusher
from components.pusher.executor import PUSHED_FILE, read_pushed_model
from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.versions import MANIFEST
from mptrec_tf.renewal.plan import RENEWAL


class DiskFullError(OSError):
    pass


@pytest.fixture
def base(tmp_path):
    """TF Serving's base path."""
    return tmp_path / "serving" / "mptrec"


def hash_files(directory):
    """Digests of all files, and the empty directories."""
    return {
        str(path.relative_to(directory)): path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
    }


def blessing(kind, folder, model, blessed):
    artifact = kind()
    artifact.uri = str(folder)
    folder.mkdir(parents=True)
    bless(artifact, model, blessed)
    return artifact


@pytest.fixture
def push(tmp_path_factory, run_component, base):
    """Pushes a model, blessed but for those in `rejected`; returns its output's properties."""

    def push(model, rejected=(), production=None, accepted="", **settings):
        folder = tmp_path_factory.mktemp("push")
        kinds = {
            "evaluation": standard_artifacts.ModelBlessing,
            "frozen_tasks": standard_artifacts.ModelBlessing,
            "serving": standard_artifacts.InfraBlessing,
        }
        blessings = {
            name: blessing(kind, folder / name, model, name not in rejected)
            for name, kind in kinds.items()
        }
        blessings["evaluation"].set_string_custom_property("accepted", accepted)
        inputs = {"model": model, "blessings": blessings}
        if production:
            inputs["production"] = production
        outputs = run_component(
            Pusher, folder / "pusher", inputs, serving_dir=str(base), **settings
        )
        pushed = outputs["pushed_model"]
        return {
            name: pushed.get_int_custom_property(name)
            if name == "pushed"
            else pushed.get_string_custom_property(name)
            for name in pushed.mlmd_artifact.custom_properties
        }

    return push


def serving_files(model):
    return hash_files(Path(model.uri) / "Format-Serving")


def test_versions_count(push, base, model, grown, both):
    for version, candidate in enumerate((model, grown, both), 1):
        assert push(candidate) == {
            "pushed": 1,
            "pushed_destination": f"{base}/{version}",
            "pushed_version": f"{version}",
        }
        files = hash_files(base / f"{version}")
        pushed = {"assets.extra/pushed.json": files.pop("assets.extra/pushed.json")}
        # The manifest of the copy has this file, too.
        source = f"{candidate.uri}/Format-Serving"
        digests = check_version(source, required=True) | pushed
        assert check_version(f"{base}/{version}", required=True) == digests
        expected = serving_files(candidate)
        assert files.pop(MANIFEST) != expected.pop(MANIFEST)
        assert files == expected
        assert read_pushed_model(f"{base}/{version}") == candidate.uri
    assert sorted(path.name for path in base.iterdir()) == ["1", "2", "3"]


def test_names_with_zeros_are_versions_like_others(push, base, model, grown):
    push(model)
    (base / "1").rename(base / "000041")
    assert push(model) == {
        "pushed": 1,
        "pushed_destination": f"{base}/000041",
        "pushed_version": "41",
    }
    assert push(grown)["pushed_destination"] == f"{base}/42"
    assert push(model)["lost_tasks"].startswith("the new model lacks share, which version 42 in")
    assert sorted(path.name for path in base.iterdir()) == ["000041", "42"]


def test_a_version_is_not_a_base_path(push, base, model, grown):
    base.parent.mkdir()
    shutil.copytree(Path(model.uri) / "Format-Serving", base)
    with pytest.raises(InputError, match=f"{base} holds a SavedModel itself"):
        push(grown)


def test_the_same_model_is_not_pushed_twice(push, base, model, grown):
    push(model)
    before = hash_files(base)
    assert push(model)["pushed_version"] == "1"
    assert hash_files(base) == before
    assert push(grown)["pushed_version"] == "2"
    # An earlier model is another one than the newest.
    assert push(model, may_drop_tasks=True)["pushed_version"] == "3"


def test_a_changed_model_is_not_pushed(push, base, model, copy_artifact, tmp_path, flip_bit):
    push(model)
    before = hash_files(base)
    changed = copy_artifact(model, tmp_path / "changed")
    vocabulary = min((tmp_path / "changed" / "Format-Serving" / "assets").iterdir())
    flip_bit(vocabulary)
    with pytest.raises(InputError, match=f"{vocabulary} was changed after"):
        push(changed)
    assert hash_files(base) == before
    # A pushed version that was changed is not the model any more.
    flip_bit(base / "1" / "saved_model.pb")
    assert push(model)["pushed_version"] == "2"


def test_what_changes_while_it_is_copied_is_noticed(push, base, model, flip_bit, monkeypatch):
    copy = executor.copy_directory

    def damage(source, target):
        copy(source, target)
        flip_bit(Path(target) / "saved_model.pb")

    monkeypatch.setattr(executor, "copy_directory", damage)
    push(model)
    with pytest.raises(InputError, match=r"1/saved_model\.pb was changed"):
        check_version(f"{base}/1")


def test_a_pushed_version_is_changed_by_mptrec_export(push, base, grown, run_program):
    push(grown)
    run_program("export", "--remove=share", f"--output_dir={base}")
    assert PUSHED_FILE not in check_version(f"{base}/2", required=True)


@pytest.mark.parametrize("name", ["evaluation", "frozen_tasks", "serving"])
def test_each_blessing_alone_rejects(push, base, model, grown, name):
    push(model)
    before = hash_files(base)
    assert push(grown, rejected=[name]) == {"pushed": 0, "rejected_by": name}
    assert hash_files(base) == before


def test_all_that_reject_are_named(push, base, model):
    properties = push(model, rejected=["evaluation", "serving"])
    assert properties == {"pushed": 0, "rejected_by": "evaluation,serving"}
    assert not base.exists()


def test_a_first_model_needs_no_blessing_of_frozen_tasks(tmp_path, run_component, base, model):
    inputs = {
        "evaluation": blessing(standard_artifacts.ModelBlessing, tmp_path / "e", model, True),
        "serving": blessing(standard_artifacts.InfraBlessing, tmp_path / "s", model, True),
    }
    assert find_rejections({name: [artifact] for name, artifact in inputs.items()}) == []
    inputs = {"model": model, "blessings": inputs}
    run_component(Pusher, tmp_path / "pusher", inputs, serving_dir=f"{base}/")
    assert read_pushed_model(f"{base}/1") == model.uri


def test_tasks_are_dropped_only_if_allowed(push, base, model, grown):
    push(grown)
    before = hash_files(base)
    properties = push(model)
    assert (properties["pushed"], properties["rejected_by"]) == (0, "")
    assert properties["lost_tasks"].startswith(
        "the new model lacks share, which version 1 in production predicts: renew that version"
    )
    assert hash_files(base) == before
    assert push(model, may_drop_tasks=True)["pushed_version"] == "2"
    assert push(grown)["pushed_version"] == "3"


def test_what_was_pushed_after_the_comparison_stays(push, base, model, grown, both, monkeypatch):
    push(model)
    push(grown)
    before = hash_files(base)
    message = f"{base}/2 was pushed meanwhile, and the candidate was compared with {model.uri}"
    with pytest.raises(InputError, match=message):
        push(both, production=model)
    assert hash_files(base) == before
    assert push(grown, production=model)["pushed_version"] == "2"  # the candidate itself

    copy = executor.copy_directory

    def overtake(source, target):  # at the last moment, and by another program
        copy(source, target)
        copy(str(base / "1"), str(base / "7"))
        (base / "7" / PUSHED_FILE).unlink()

    monkeypatch.setattr(executor, "copy_directory", overtake)
    with pytest.raises(InputError, match=f"{base}/7 was pushed meanwhile"):
        push(both, production=grown)
    assert sorted(path.name for path in base.iterdir()) == ["1", "2", "7"]
    monkeypatch.setattr(executor, "copy_directory", copy)
    shutil.rmtree(base / "7")
    assert push(both, production=grown)["pushed_version"] == "3"


def test_a_renewal_may_lack_the_tasks_that_it_retires(push, base, model, grown):
    push(grown)
    record = {"renews": 1, "backbone": "a", "retired": ["like"], "accepted": []}
    assert "lacks share" in push(model, renewal=record)["lost_tasks"]
    record["retired"] = ["share"]
    assert push(model, renewal=record)["pushed_version"] == "2"
    assert RENEWAL in check_version(f"{base}/2", required=True)
    assert json.loads((base / "2" / RENEWAL).read_text()) == record


def test_a_version_records_the_tasks_for_which_it_was_accepted(push, base, model, grown):
    """Those that the Evaluator would have blocked, whatever else --accept names."""
    push(model)
    pushed = json.loads((base / "1" / "assets.extra/pushed.json").read_text())
    assert pushed["accepted"] == []
    record = {"renews": 1, "backbone": "a", "retired": [], "accepted": []}
    push(grown, accepted="click,like", renewal=record)
    for name in (RENEWAL, "assets.extra/pushed.json"):
        content = json.loads((base / "2" / name).read_text())
        assert content["accepted"] == ["click", "like"]


def test_a_push_that_fails_changes_nothing(push, base, model, grown, monkeypatch):
    push(model)
    before = hash_files(base)
    copy = executor.copy_directory

    def fails_at_the_end(source, target):
        copy(source, target)
        assert any(path.name.startswith("2.incomplete-") for path in base.iterdir())
        raise DiskFullError

    monkeypatch.setattr(executor, "copy_directory", fails_at_the_end)
    with pytest.raises(DiskFullError):
        push(grown)
    assert hash_files(base) == before
    monkeypatch.setattr(executor, "copy_directory", copy)
    assert push(grown)["pushed_version"] == "2"


def test_a_version_appears_complete(push, base, model, monkeypatch):
    """When the last file is written, no numbered directory is there yet."""
    write = executor.write_file

    def write_and_check(path, content):
        write(path, content)
        assert [p.name.split(".")[0] for p in base.iterdir()] == ["1"]
        assert not (base / "1").exists()

    monkeypatch.setattr(executor, "write_file", write_and_check)
    push(model)
    assert (base / "1" / "saved_model.pb").exists()


def test_a_version_that_no_pipeline_pushed_is_rejected(push, base, model, tmp_path):
    push(model)
    path = base / "1" / "assets.extra" / "pushed.json"
    assert json.loads(path.read_text())["model"] == model.uri
    path.write_text("[]")
    with pytest.raises(InputError, match=r"was not pushed by a pipeline .*is missing or damaged"):
        read_pushed_model(str(base / "1"))
    path.unlink()
    with pytest.raises(
        InputError, match=r"\(mptrec-refresh renews it\), or give a serving directory"
    ):
        read_pushed_model(str(base / "1"))
    assert push(model)["pushed_version"] == "2"


def test_a_version_of_an_unknown_kind_is_named(push, base, model):
    (base / "7").mkdir(parents=True)
    with pytest.raises(InputError, match=r"/7 .*does not list its tasks.*may_drop_tasks"):
        push(model)
    assert push(model, may_drop_tasks=True)["pushed_version"] == "8"
