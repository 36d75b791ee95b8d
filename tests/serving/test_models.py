"""Which versions are served while storages change."""

import asyncio
import os
import shutil

from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models


def test_a_storage_that_cannot_be_read_keeps_no_other_model_from_its_new_version(
    exported, tmp_path
):
    bases = {name: tmp_path / name for name in ("first", "second", "third")}
    for name in ("first", "second"):
        shutil.copytree(exported, bases[name])
    odd = os.fsencode(bases["first"]) + b"/\xff"  # no name that TensorFlow lists

    async def change():
        models = Models([ModelConfig(name, str(base)) for name, base in bases.items()], Metrics())
        await models.refresh()
        assert models.not_serving() == {"third": f"there is no version in {bases['third']}"}
        os.mkdir(odd)
        shutil.copytree(bases["second"] / "1", bases["second"] / "2")
        shutil.copytree(exported, bases["third"])
        (bases["third"] / "1").rename(bases["first"] / "2")
        os.mkdir(os.fsencode(bases["third"]) + b"/\xff")
        await models.refresh()
        served = {name: models._models[name].available() for name in bases}
        assert served == {"first": [1], "second": [2], "third": []}
        assert "looking for its versions failed: " in models.not_serving()["third"]
        os.rmdir(odd)
        await models.refresh()
        assert models._models["first"].available() == [2]
        await models.close()

    asyncio.run(change())
