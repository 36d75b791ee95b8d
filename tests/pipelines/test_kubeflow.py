import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.data_types import RuntimeParameter

from components.example_gen.source import SourceConfig
from components.pretrainer.config import PretrainerConfig
from components.prompt_tuner.config import PromptTunerConfig
from pipelines import add_task, pretrain
from pipelines.config import AddTaskConfig, PretrainConfig
from pipelines.kubeflow import compile_pipeline

ROOT = Path(__file__).parents[2]
COMMON = {
    "root": "gs://bucket/root",
    "serving_dir": "gs://bucket/models/mptrec",
    "source": SourceConfig(dataset="synthetic"),
    "beam_args": ["--direct_num_workers=2"],
    "cluster": True,
}
URIS = ("base_model", "production_model", "schema", "statistics")


def compiled(pipeline, folder):
    """Compiles a pipeline; returns its PipelineSpec, read by Kubeflow's own proto, and the job."""
    compile_pipeline(pipeline, "registry/image:1", str(folder / "job.json"))
    assert os.listdir(folder) == ["job.json"]
    job = json.loads((folder / "job.json").read_text())
    spec = json_format.ParseDict(
        job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=True
    )
    return spec, job


def check_components(spec, components):
    tasks = spec.root.dag.tasks
    assert set(tasks) == components
    executors = spec.deployment_spec["executors"]
    containers = {
        name.removesuffix("_executor"): e["container"]
        for name, e in executors.items()
        if "container" in e
    }
    assert {c["image"] for c in containers.values()} == {"registry/image:1"}
    assert all("--direct_num_workers=2" in c["args"] for c in containers.values())
    return {name: set(task.dependent_tasks) for name, task in tasks.items()}, containers


def test_the_pre_training_pipeline(tmp_path):
    config = PretrainConfig(**COMMON, trainer=PretrainerConfig(tasks=("click", "like")))
    spec, job = compiled(pretrain.create_pipeline(config), tmp_path)
    after, containers = check_components(
        spec,
        {
            "RawExampleGen",
            "StatisticsGen",
            "SchemaGen",
            "ExampleValidator",
            "DataGate",
            "Transform",
            "Pretrainer",
            "Evaluator",
            "ServingCheck",
            "Pusher",
        },
    )
    assert "DataGate" in after["Transform"]
    assert "Transform" in after["Pretrainer"]
    assert after["Pusher"] == {"Pretrainer", "Evaluator", "ServingCheck"}
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    assert "components.pusher.executor.Executor" in containers["Pusher"]["args"]


def test_the_add_task_pipeline(tmp_path):
    config = AddTaskConfig(
        **COMMON,
        tuner=PromptTunerConfig(task="share"),
        production_tasks=("click", "like"),
        **{name: RuntimeParameter(name=name, ptype=str, default="") for name in URIS},
    )
    spec, _ = compiled(add_task.create_pipeline(config), tmp_path)
    after, containers = check_components(
        spec,
        {
            "RawExampleGen",
            "StatisticsGen",
            "BackboneSchema",
            "BackboneStatistics",
            "BaseModel",
            "ProductionModel",
            "ExampleValidator",
            "DataGate",
            "PromptTuner",
            "FrozenTaskValidator",
            "Evaluator",
            "ServingCheck",
            "Pusher",
        },
    )
    assert {"BackboneSchema", "BackboneStatistics"} < after["DataGate"]
    assert {"DataGate", "BaseModel"} < after["PromptTuner"]
    assert after["Pusher"] == {"PromptTuner", "FrozenTaskValidator", "Evaluator", "ServingCheck"}
    assert set(spec.root.input_definitions.parameters) == set(URIS)
    assert not {"BaseModel", "ProductionModel"} & set(containers)  # imported, not run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pipeline_root=root"], "--pipeline_root=root is relative to this machine's working"),
        (["--tasks=click,clack"], "unknown task 'clack'"),
        (["--pipeline=add_task"], "add_task needs --new_task and --production_tasks"),
    ],
)
def test_refusals(tmp_path, flags, message):
    given = ["--pipeline=pretrain", "--image=i", "--pipeline_root=gs://b/r", "--tasks=click"]
    given += ["--serving_dir=gs://b/m", "--dataset=synthetic", f"--output={tmp_path / 'job.json'}"]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.kubeflow", *given, *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
