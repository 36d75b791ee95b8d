"""Which versions are served while their directories change."""

import asyncio
import os
import shutil

import numpy as np

from mptrec_tf.export.integrity import check_version, sign_version, write_manifest
from mptrec_tf.export.signing import read_private_key, read_public_key
from mptrec_tf.serving.server import models as models_module
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models
from mptrec_tf.serving.server.options import LoadOptions


def test_an_unreadable_storage_does_not_stop_new_versions_of_other_models(
    exported, tmp_path, monkeypatch
):
    bases = {name: tmp_path / name for name in ("first", "second", "third")}
    for name in ("first", "second"):
        shutil.copytree(exported, bases[name])
    unreadable = set()
    look = models_module.list_version_directories

    def look_or_fail(base_path):
        if base_path in unreadable:
            raise OSError(f"cannot reach {base_path}")
        return look(base_path)

    monkeypatch.setattr(models_module, "list_version_directories", look_or_fail)

    async def change():
        models = Models([ModelConfig(name, str(base)) for name, base in bases.items()], Metrics())
        await models.refresh()
        assert models.explain_unserved() == {"third": f"there is no version in {bases['third']}"}
        unreadable.update(str(bases[name]) for name in ("first", "third"))
        shutil.copytree(bases["second"] / "1", bases["second"] / "2")
        shutil.copytree(exported, bases["third"])
        (bases["third"] / "1").rename(bases["first"] / "2")
        await models.refresh()
        served = {name: models._models[name].list_available() for name in bases}
        assert served == {"first": [1], "second": [2], "third": []}
        assert "looking for its versions failed: " in models.explain_unserved()["third"]
        unreadable.remove(str(bases["first"]))
        await models.refresh()
        assert models._models["first"].list_available() == [2]
        await models.close()

    asyncio.run(change())


def test_a_changed_version_leaves_the_old_one_serving(
    small, tmp_path, flip_bit, monkeypatch, caplog
):
    for number in (1, 2):
        parts = shutil.copytree(small, tmp_path / f"{number}") / "assets.extra" / "parts"
        parts.mkdir(parents=True)
        (parts / "backbone.json").write_text("{}")
        write_manifest(str(tmp_path / f"{number}"))
    changed = tmp_path / "2" / "variables" / "variables.data-00000-of-00001"
    (tmp_path / "2").rename(tmp_path / "later")
    checked = []

    def count(path, public_key):
        checked.append(path)
        return check_version(path, public_key)

    monkeypatch.setattr(models_module, "check_version", count)

    async def run():
        models = Models([ModelConfig("m", str(tmp_path))], Metrics())
        await models.refresh()
        (tmp_path / "later").rename(tmp_path / "2")
        flip_bit(changed)
        for _ in range(3):  # a server that polls reads the files once
            await models.refresh()
        assert checked == [f"{tmp_path}/1", f"{tmp_path}/2"]
        assert models._models["m"].list_available() == [1]
        servable = models._models["m"].versions[1].servable
        assert servable.run("serving_default", {"x": np.float32([3])})["a"].tolist() == [6]
        error = models._models["m"].versions[2].error
        assert error.startswith(f"{changed} was changed after the version was written")
        assert f"m 2: {error}; [1] stay loaded; it is tried again 5 times" in caplog.text
        # Whatever file was changed, it is seen when somebody repairs it.
        of_parts = tmp_path / "2" / "assets.extra" / "parts" / "backbone.json"
        for time, files in enumerate(([changed, of_parts], [of_parts])):
            for path in files:
                flip_bit(path)
                os.utime(path, (time, time))  # clocks of files are coarse
            await models.refresh()
            error = models._models["m"].versions[2].error
            assert ("parts/backbone.json was changed" in error) == (time == 0)
        assert models._models["m"].list_available() == [2]
        await models.close()

    asyncio.run(run())


def test_with_a_public_key_only_signed_versions_are_served(small, tmp_path, key_files):
    shutil.copytree(small, tmp_path / "1")
    options = LoadOptions(public_key=read_public_key(key_files[1]))

    async def run():
        models = Models([ModelConfig("m", str(tmp_path))], Metrics(), options)
        await models.refresh()
        assert "1 has no manifest" in models.explain_unserved()["m"]
        write_manifest(str(tmp_path / "1"))
        await models.refresh()
        assert "1 is not signed" in models.explain_unserved()["m"]
        sign_version(str(tmp_path / "1"), read_private_key(key_files[0]))
        await models.refresh()
        assert models.list_served() == ["m"]
        await models.close()

    asyncio.run(run())
