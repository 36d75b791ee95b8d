"""Fixtures of several folders: rows, prepared rows, and models of them."""

import csv
import dataclasses
import fcntl
import gc
import gzip
import itertools
import multiprocessing
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import mptrec_tf  # noqa: F401  (before TensorFlow: it selects Keras 2)

# Before TensorFlow, too: tests compile more than they compute.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# `tests` may well be another package's name where processes look for modules.
sys.path.insert(0, str(Path(__file__).parent / "bin"))
import beam_caches  # noqa: F401  (of this process)
import forked_program

# Graphs are made of very many objects, few of which are garbage: to look for it less often takes a
# twelfth of the time.
gc.set_threshold(*forked_program.COLLECT_AT)

ROOT = Path(__file__).parents[1]
SMALL_ROWS = 2000
# Programs take five seconds to import these. Processes are forked from one that has them.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["mptrec_tf.bin.results", "mptrec_tf.export.serving_model"])


# Folders and files whose tests share runs that take minutes.
_TOGETHER = ("tests/bin/", "tests/pipelines/test_[lr]", "tests/components/", "tests/renewal/")
# What else takes long. All this starts first, so that both processes end at about the same time.
_LONG = (
    "tests/extension/",
    "tests/(serving|training|models|pipelines|benchmark|data/dask)/",
    "tests/test_",
)


def pytest_collection_modifyitems(items):
    """Orders the tests by how long their files take; see `_LONG`."""

    def place(item):
        return [not re.match(these, item.nodeid) for these in (*_TOGETHER, *_LONG)]

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Gives each file to one process, and those that share long fixtures to the same one."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # by the number of tests

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((these for these in _TOGETHER if re.match(these, file)), file)

    return Together(config, log)


def program(name, *flags, check=True, **environment):
    """Runs a program of `mptrec_tf.bin`, or a module, as a user would, in a process of its own."""
    environment = dict(os.environ) | {"COLUMNS": "200"} | environment
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/stdout", f"{folder}/stderr"]
        process = _FORKS.Process(
            target=forked_program.main, args=(name, flags, ROOT, *files, environment)
        )
        process.start()
        process.join()
        written = [Path(file).read_text() for file in files]
    done = subprocess.CompletedProcess([name, *flags], process.exitcode, *written)
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def run_program():
    return program


@pytest.fixture(scope="session")
def run_nested():
    """Runs some of a file's tests in a process of its own, with other environment variables.

    Returns its last line: how many passed.
    """

    def run(file, some, **environment):
        # It is no worker of this run, whose variables would lead it to this run's directories.
        rest = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        flags = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings", "-k", some]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *flags, file],
            env=rest | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout.splitlines()[-1]

    return run


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
def without_xla():
    """A context in which XLA does not compile steps, a third of the time of a short training."""
    return forked_program.train_without_xla


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
def make_once(request, tmp_path_factory):
    """Makes a directory in one of the test processes; the others wait for it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if hasattr(request.config, "workerinput") else folder

    def make_once(name, make):
        path = folder / name
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                make(staging := folder / f"{name}-{os.getpid()}")
                staging.rename(path)
        return path

    return make_once


@pytest.fixture(scope="session")
def prepared_census(small_census, make_once):
    """Directory of the small Census-Income data, prepared with the paper's tasks."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sets.census_income.rows import CensusIncome

    source = CensusIncome(str(small_census))
    return make_once("prepared_census", lambda folder: prepare(source, str(folder)))


@pytest.fixture(scope="session")
def prepared_synthetic(make_once):
    """Directory of some synthetic rows, prepared with all four tasks."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sets.synthetic.rows import Synthetic

    source = Synthetic({"train": 1500, "validation": 400, "test": 400})
    return make_once("prepared_synthetic", lambda folder: prepare(source, str(folder)))


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
    from mptrec_tf.data.sets.synthetic.rows import Synthetic
    from mptrec_tf.data.sources.block import read_split

    return next(read_split(Synthetic({"test": 300}), "test"))


@pytest.fixture(scope="session")
def key_files(tmp_path_factory):
    """Paths of a private key that signs versions, and of its public key."""
    from cryptography.hazmat.primitives import serialization as of
    from cryptography.hazmat.primitives.asymmetric import ed25519

    folder, key = tmp_path_factory.mktemp("keys"), ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(of.Encoding.PEM, of.PrivateFormat.PKCS8, of.NoEncryption())
    public = key.public_key().public_bytes(of.Encoding.PEM, of.PublicFormat.SubjectPublicKeyInfo)
    (folder / "private_key.pem").write_bytes(private)
    (folder / "public_key.pem").write_bytes(public)
    return str(folder / "private_key.pem"), str(folder / "public_key.pem")


def flip(path, position=0):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="session")
def flip_bit():
    """Flips a bit of a file, by default of its first byte."""
    return flip


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
