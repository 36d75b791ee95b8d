"""Fixtures of several folders: rows, prepared rows, and models of them."""

import csv
import dataclasses
import gzip
import itertools
import os
import pty
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mptrec_tf  # noqa: F401  (before TensorFlow: it selects Keras 2)

SMALL_ROWS = 2000


# Folders and files whose tests share runs that take minutes.
_TOGETHER = ("tests/bin/", "tests/components/", "tests/pipelines/test_[lr]")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives each file to one process, and those that share long fixtures to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((these for these in _TOGETHER if re.match(these, file)), file)

    return Together(config, log)


@pytest.fixture(scope="session")
def run_on_terminal():
    """Runs a command whose standard error is a terminal of 80 columns.

    Returns its exit status and what it wrote there.
    """

    def run(command, **environment):
        master, slave = pty.openpty()
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
        plain |= {"COLUMNS": "80", "TERM": "xterm-256color"}
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=slave, env=plain | environment
        )
        os.close(slave)
        written = b""
        while True:
            try:
                part = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            written += part
        os.close(master)
        return process.wait(), written.decode().replace("\r\n", "\n")

    return run


@pytest.fixture(scope="session")
def shared_data():
    """Directory of the original Census-Income files."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MPTREC_SHARED_DATA") or beside) / "census_income"
    if not folder.is_dir():
        pytest.skip(f"needs the Census-Income files in {folder}: set MPTREC_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def small_census(shared_data, tmp_path_factory):
    """Directory with the first 2,000 rows of each file, one plain and one .gz, original names."""
    folder = tmp_path_factory.mktemp("small_census")
    for name, opened in (("census-income.data", open), ("census-income.test.gz", gzip.open)):
        original = shared_data / f"{name.removesuffix('.gz')}.gz"
        with gzip.open(original, "rb") as source, opened(folder / name, "wb") as target:
            target.writelines(itertools.islice(source, SMALL_ROWS))
    return folder


@pytest.fixture(scope="session")
def prepared_census(small_census, tmp_path_factory):
    """Directory of the small Census-Income data, prepared with the paper's tasks."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sources.census_income import CensusIncome

    folder = tmp_path_factory.mktemp("prepared_census") / "data"
    prepare(CensusIncome(str(small_census)), str(folder))
    return folder


@pytest.fixture(scope="session")
def prepared_synthetic(tmp_path_factory):
    """Directory of some synthetic rows, prepared with all four tasks."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sources.synthetic import Synthetic

    folder = tmp_path_factory.mktemp("prepared_synthetic") / "data"
    prepare(Synthetic({"train": 1500, "validation": 400, "test": 400}), str(folder))
    return folder


@pytest.fixture(scope="session")
def synthetic_backbone(prepared_synthetic, tmp_path_factory):
    """Directory of a small backbone for these rows, with its initial weights."""
    from mptrec_tf.artifacts.backbones import save_backbone
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.keras import keras
    from mptrec_tf.models.mptrec import MPTRec
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import PretrainingConfig
    from mptrec_tf.training.statistics import compute_statistics

    folder = tmp_path_factory.mktemp("synthetic_backbone") / "backbone"
    folder.mkdir()
    data = PreparedData(str(prepared_synthetic))
    keras.utils.set_random_seed(1)
    shape = {"expert_units": (12, 8), "tower_units": (4,)}
    model = MPTRec(PretrainingConfig(("click", "like"), shape=shape).make_shape(data))
    model.set_statistics(compute_statistics(model, load_rows(data, "train", ("click", "like"))))
    save_backbone(str(folder), model, data.spec, data.transform_dir, {"history": []})
    return folder


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
    from mptrec_tf.data.sources.block import Block

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
def prepared(synthetic_backbone, block, slice_rows, tmp_path_factory):
    """Versions 1 to 4, whose predictions for the 20 rows differ by far."""
    from mptrec_tf.serving.testing.load import prepare_versions

    folder = tmp_path_factory.mktemp("prepared_versions")
    return prepare_versions(str(synthetic_backbone), folder, slice_rows(block, 0, 20), swaps=1)
