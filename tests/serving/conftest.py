import csv
import dataclasses

import numpy as np
import pytest

from mptrec_tf.data.sources.block import Block


@pytest.fixture(scope="session")
def exported(synthetic_backbone, tmp_path_factory):
    """Base path of a model with a pre-trained pair of tasks and one more."""
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import TaskPackage
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.keras import keras
    from mptrec_tf.models.heads.prompt_shape import PromptConfig
    from mptrec_tf.models.heads.registry import make_head

    backbone = load_backbone(str(synthetic_backbone))
    keras.utils.set_random_seed(2)
    head = make_head(PromptConfig(tower_units=(4,)), backbone.model.layout, "share")
    [task] = backbone.spec.select_tasks(["share"])
    base = tmp_path_factory.mktemp("exported") / "mptrec"
    package = TaskPackage("tasks/share", task, head, backbone.fingerprint, {})
    export(backbone, [package], str(base))
    return base


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A version of a model that doubles numbers: `a` is 2 * `x`."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(2.0)
    double = tf.function(
        lambda x: {"a": module.factor * x}, input_signature=[tf.TensorSpec([None], name="x")]
    )
    path = tmp_path_factory.mktemp("small") / "1"
    tf.saved_model.save(module, str(path), signatures={"serving_default": double})
    return path


@pytest.fixture(scope="session")
def model(exported):
    from mptrec_tf.inference.saved_model import LoadedModel

    return LoadedModel(str(exported))


@pytest.fixture(scope="session")
def block():
    """300 raw test rows."""
    from mptrec_tf.data.sources.block import read_split
    from mptrec_tf.data.sources.synthetic import Synthetic

    return next(read_split(Synthetic({"test": 300}), "test"))


def rows_of(block, start, stop):
    return Block(
        {name: column[start:stop] for name, column in block.columns.items()},
        block.source,
        block.lines[start:stop],
        block.unit,
    )


def with_column(block, name, values):
    """The block with another column; None takes it away."""
    columns = {k: v for k, v in block.columns.items() if k != name}
    if values is not None:
        columns[name] = np.asarray(values)
    return dataclasses.replace(block, columns=columns)


@pytest.fixture(scope="session")
def slice_rows():
    return rows_of


@pytest.fixture(scope="session")
def change_column():
    return with_column


@pytest.fixture(scope="session")
def read_predictions():
    def read(path):
        with open(path) as file:
            rows = list(csv.DictReader(file))
        return {task: np.array([row[task] for row in rows], np.float32) for task in rows[0]}

    return read


@pytest.fixture(scope="session")
def columns(block, model):
    """The raw columns of 20 rows."""
    return {name: block.columns[name][:20] for name in model.column_types}


@pytest.fixture(scope="session")
def expected(block, slice_rows, model):
    """What the model answers for these rows."""
    return model.predict(slice_rows(block, 0, 20))


@pytest.fixture(scope="session")
def prepared(synthetic_backbone, block, slice_rows, tmp_path_factory):
    """Versions 1 to 4, which answer the 20 rows by far otherwise than each other."""
    from mptrec_tf.serving.testing.load import prepare_versions

    folder = tmp_path_factory.mktemp("prepared_versions")
    return prepare_versions(str(synthetic_backbone), folder, slice_rows(block, 0, 20), swaps=1)
