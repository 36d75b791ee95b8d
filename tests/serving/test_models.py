"""Which versions are served while their directories change."""

import asyncio
import shutil

from mptrec_tf.serving.server import models as models_module
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models


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
