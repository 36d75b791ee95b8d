"""Flags of the pipelines' programs: their defaults, and what the local one does with them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.data_gate.config import GateConfig
from components.evaluation.thresholds import Thresholds
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.models.registry import DEFAULT
from mptrec_tf.training.configurations import NewTaskConfig
from pipelines.config import PIPELINES, PipelineConfig, PretrainConfig
from pipelines.defaults import DATASET, STAGE_1

ROOT = Path(__file__).parents[2]
# In a process of its own: programs share names of flags.
CODE = """
import json, sys
from pipelines import kubeflow
from pipelines.flags import locate_files
from absl import flags

slow = {"tensorflow", "tfx", "apache_beam", "tensorflow_transform"} & set(sys.modules)
known = flags.FLAGS
print(json.dumps({
    "slow": sorted(slow),
    "defaults": {name: known[name].default for name in known},
    "help": {name: known[name].help for name in known},
    "files": list(map(locate_files, ("/d/{SPAN}/", "gs://d/", "/d/a.csv", "tfds:a#train"))),
    "pipeline": list(known["pipeline"].parser.enum_values),
}))
"""


# The local program with pipelines that only tell what is asked of them.
LOCAL = """
import json, sys, types
from absl import flags
from absl.testing import flagsaver
from pipelines import local


class Pipelines:
    def __init__(self, config, training, head, model):
        calls.append([config.root, config.serving_dir, config.source.dataset])
        calls.append([dict(training), head, model])

    def pretrain(self, *arguments):
        calls.append(["pretrain", *arguments])

    def add_task(self, *arguments):
        calls.append(["add_task", *arguments])

    def query(self):
        calls.append(["query"])

    def print_tables(self):
        calls.append(["print_tables"])


sys.modules["pipelines.local_pipelines"] = types.SimpleNamespace(LocalPipelines=Pipelines)
every = []
for given in json.load(sys.stdin):
    with flagsaver.flagsaver():
        calls = []
        local.main(flags.FLAGS(["local", *given], known_only=True)[1:])
        every.append(calls)
print(json.dumps(every))
"""


def run(code, given=None):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def flags():
    return run(CODE)


def test_nothing_slow_is_imported_for_flags(flags):
    assert flags["slow"] == []


def test_defaults_are_those_of_the_configurations(flags):
    defaults = flags["defaults"]
    gate = Thresholds().gate
    assert defaults["margin"] == gate.margin
    assert defaults["confidence"] == gate.confidence
    assert defaults["least_positives"] == gate.least_positives
    assert defaults["calibration_margin"] == gate.calibration_margin
    assert defaults["head"] == NewTaskConfig().head
    assert defaults["seed"] == STAGE_1.seed
    assert defaults["docker"] == PipelineConfig.docker
    assert defaults["cache"] == PipelineConfig.cache
    assert defaults["may_drop_tasks"] == PretrainConfig.may_drop_tasks
    assert f"Others: {GateConfig().max_drift}." in flags["help"]["max_drift"]
    assert flags["pipeline"] == list(PIPELINES)


def test_files_stay_folders(flags):
    assert flags["files"] == ["/d/{SPAN}/", "gs://d/", "/d/a.csv", "tfds:a#train"]


def test_what_the_local_program_runs():
    chosen = ["--run=add_task", "--dataset=synthetic", "--tasks=click", "--new_task=like"]
    chosen += ["--patience=3", "--head=prompt", "--root=/r", "--serving_dir=/s"]
    bare, both, one = run(LOCAL, [[], ["--run=both"], chosen])
    of = DATASETS.get(DATASET)
    root = str(ROOT / "build" / DATASET)
    assert bare == both
    assert bare == [
        [root, f"{root}/saved_models/mptrec", DATASET],
        [bare[1][0], NewTaskConfig().head, DEFAULT],
        ["pretrain", [task for task in of.tasks if task != of.new_task], None, False],
        ["add_task", of.new_task, None],
        ["query"],
        ["print_tables"],
    ]
    assert one == [
        ["/r", "/s", "synthetic"],
        [bare[1][0] | {"patience": 3}, "prompt", DEFAULT],
        ["add_task", "like", None],
        ["query"],
        ["print_tables"],
    ]


# What the flags say of the rows.
SOURCE = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from mptrec_tf.errors import InputError
from pipelines import flags as pipeline_flags

found = []
for given in json.load(sys.stdin):
    with flagsaver.flagsaver():
        flags.FLAGS(["pipeline", *given])
        try:
            found.append(pipeline_flags.make_source(()).spec.to_plain()["text_format"])
        except InputError as error:
            found.append(str(error))
print(json.dumps(found))
"""


def test_the_format_of_text_files(tmp_path):
    """As in programs: the spec's, changed by flags; built-in data have none."""
    spec = tmp_path / "shop.yaml"
    spec.write_text(
        "name: shop\ndelimiter: pipe\nnumeric: [price]\n"
        "tasks:\n  - {name: buy, label: bought, positive: paid}\n"
    )
    own = [f"--spec={spec}", "--files=/d/*.csv"]
    given = [
        own,
        [*own, "--delimiter=semicolon", "--decimal=comma"],
        ["--dataset=synthetic", "--delimiter=semicolon"],
    ]
    bare, changed, built_in = run(SOURCE, given)
    assert bare["delimiter"] == "|"
    assert changed == bare | {"delimiter": ";", "decimal": ","}
    assert built_in == "--delimiter goes with --spec, not with --dataset."
