"""Flags of the pipelines' programs: their defaults."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.data_gate.config import GateConfig
from components.evaluation.thresholds import Thresholds
from mptrec_tf.training.configurations import NewTaskConfig
from pipelines.config import PIPELINES, PipelineConfig, PretrainConfig
from pipelines.defaults import STAGE_1

ROOT = Path(__file__).parents[2]
# In a process of its own: programs share names of flags.
CODE = """
import json, sys
from pipelines import kubeflow
from absl import flags

slow = {"tensorflow", "tfx", "apache_beam", "tensorflow_transform"} & set(sys.modules)
known = flags.FLAGS
print(json.dumps({
    "slow": sorted(slow),
    "defaults": {name: known[name].default for name in known},
    "help": {name: known[name].help for name in known},
    "pipeline": list(known["pipeline"].parser.enum_values),
}))
"""


@pytest.fixture(scope="module")
def flags():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_nothing_slow_is_imported_for_flags(flags):
    assert flags["slow"] == []


def test_defaults_are_those_of_the_configurations(flags):
    defaults = flags["defaults"]
    assert defaults["margin"] == Thresholds().margin
    assert defaults["head"] == NewTaskConfig().head
    assert defaults["seed"] == STAGE_1.seed
    assert defaults["docker"] == PipelineConfig.docker
    assert defaults["cache"] == PipelineConfig.cache
    assert defaults["may_drop_tasks"] == PretrainConfig.may_drop_tasks
    assert f"Others: {GateConfig().max_drift}." in flags["help"]["max_drift"]
    assert flags["pipeline"] == list(PIPELINES)
