import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.orchestration.data_types import RuntimeParameter

from components.evaluation.config import EvaluatorConfig
from components.example_gen.source import SourceConfig
from components.prompt_tuner.config import PromptTunerConfig
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.gate import Gate
from mptrec_tf.training.configurations import PretrainingConfig
from pipelines import add_task, pretrain
from pipelines.compiling import compile_pipeline
from pipelines.config import AddTaskConfig, PretrainConfig

ROOT = Path(__file__).parents[2]
IMAGE = "registry/image:1"
COMMON = {
    "root": "gs://bucket/root",
    "serving_dir": "gs://bucket/models/mptrec",
    "source": SourceConfig(dataset="synthetic"),
    "beam_args": ["--direct_num_workers=2"],
    "cluster": True,
}
URIS = ("base_model", "production_model", "schema", "statistics")
PRETRAIN = PretrainConfig(**COMMON, trainer=PretrainingConfig(tasks=("click", "like")))
PRETRAIN_COMPONENTS = {
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
}
IMPORTED = {"BackboneSchema", "BackboneStatistics", "BaseModel", "ProductionModel"}
ADD_TASK_COMPONENTS = IMPORTED | {
    "RawExampleGen",
    "StatisticsGen",
    "ExampleValidator",
    "DataGate",
    "PromptTuner",
    "FrozenTaskValidator",
    "Evaluator",
    "ServingCheck",
    "Pusher",
}


def parse_spec(content):
    """Parses a PipelineSpec by Kubeflow's own proto, which rejects unknown fields."""
    # A Struct in the spec, which by itself may hold anything.
    json_format.ParseDict(content["deploymentSpec"], pipeline_spec_pb2.PipelineDeploymentConfig())
    return json_format.ParseDict(content, pipeline_spec_pb2.PipelineSpec())


def compile_job(pipeline, folder):
    """Compiles a pipeline; returns its PipelineSpec and the job."""
    compile_pipeline(pipeline, IMAGE, str(folder / "job.json"))
    assert os.listdir(folder) == ["job.json"]
    job = json.loads((folder / "job.json").read_text())
    return parse_spec(job["pipelineSpec"]), job


def find_containers(spec):
    """Returns the containers by component."""
    executors = spec.deployment_spec["executors"]
    return {
        name.removesuffix("_executor"): executor["container"]
        for name, executor in executors.items()
        if "container" in executor
    }


def find_dependencies(spec):
    """Returns the components that each component waits for."""
    return {name: set(task.dependent_tasks) for name, task in spec.root.dag.tasks.items()}


def test_the_pre_training_pipeline(tmp_path):
    spec, job = compile_job(pretrain.create_pipeline(PRETRAIN), tmp_path)
    assert set(spec.root.dag.tasks) == PRETRAIN_COMPONENTS
    run = find_containers(spec)
    assert set(run) == PRETRAIN_COMPONENTS
    assert {container["image"] for container in run.values()} == {IMAGE}
    assert all("--direct_num_workers=2" in container["args"] for container in run.values())
    assert "components.pusher.executor.Executor" in run["Pusher"]["args"]
    waits = find_dependencies(spec)
    assert "DataGate" in waits["Transform"]
    assert "Transform" in waits["Pretrainer"]
    assert waits["Pusher"] == {"Pretrainer", "Evaluator", "ServingCheck"}
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    assert not spec.root.input_definitions.parameters


def test_a_pre_training_is_compared_with_production_on_the_tasks_that_both_have(tmp_path):
    parameter = RuntimeParameter(name="production_model", ptype=str)
    config = dataclasses.replace(
        PRETRAIN, production_model=parameter, production_tasks=("like", "share")
    )
    spec, _ = compile_job(pretrain.create_pipeline(config), tmp_path)
    assert set(spec.root.dag.tasks) == PRETRAIN_COMPONENTS | {"ProductionModel"}
    assert set(spec.root.input_definitions.parameters) == {"production_model"}
    evaluator = spec.root.dag.tasks["Evaluator"]
    baseline = evaluator.inputs.artifacts["baseline_model"].task_output_artifact
    assert baseline.producer_task == "ProductionModel"
    given = evaluator.inputs.parameters["config"].runtime_value.constant_value.string_value
    evaluated = EvaluatorConfig.from_json(given)
    assert (evaluated.tasks, evaluated.compared) == (("click", "like"), ("like",))
    assert evaluated.thresholds.gate == Gate()


def test_without_common_tasks_production_is_not_compared(tmp_path):
    config = dataclasses.replace(PRETRAIN, production_model="uri", production_tasks=("share",))
    spec, _ = compile_job(pretrain.create_pipeline(config), tmp_path)
    assert set(spec.root.dag.tasks) == PRETRAIN_COMPONENTS


def test_the_add_task_pipeline(tmp_path):
    config = AddTaskConfig(
        **COMMON,
        tuner=PromptTunerConfig(task="share"),
        production_tasks=("click", "like"),
        **{name: RuntimeParameter(name=name, ptype=str) for name in URIS},
    )
    spec, job = compile_job(add_task.create_pipeline(config), tmp_path)
    assert set(spec.root.dag.tasks) == ADD_TASK_COMPONENTS
    run = find_containers(spec)
    assert set(run) == ADD_TASK_COMPONENTS - IMPORTED
    assert {container["image"] for container in run.values()} == {IMAGE}
    assert all("--direct_num_workers=2" in container["args"] for container in run.values())
    waits = find_dependencies(spec)
    assert {"BackboneSchema", "BackboneStatistics"} < waits["DataGate"]
    assert {"DataGate", "BaseModel"} < waits["PromptTuner"]
    assert waits["Pusher"] == {
        "PromptTuner",
        "ProductionModel",
        "FrozenTaskValidator",
        "Evaluator",
        "ServingCheck",
    }
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"


@pytest.mark.parametrize("cache", [True, False])
def test_caching(tmp_path, cache):
    config = dataclasses.replace(PRETRAIN, cache=cache)
    spec, _ = compile_job(pretrain.create_pipeline(config), tmp_path)
    assert {t.caching_options.enable_cache for t in spec.root.dag.tasks.values()} == {cache}


def test_yaml_holds_the_spec_alone(tmp_path):
    compile_pipeline(pretrain.create_pipeline(PRETRAIN), IMAGE, str(tmp_path / "spec.yaml"))
    spec = parse_spec(yaml.safe_load((tmp_path / "spec.yaml").read_text()))
    assert set(spec.root.dag.tasks) == PRETRAIN_COMPONENTS


def test_what_cannot_be_compiled_leaves_the_file_as_it_was(tmp_path):
    output = tmp_path / "job.json"
    output.write_text("old")
    pipeline = pretrain.create_pipeline(dataclasses.replace(PRETRAIN, docker=True))
    with pytest.raises(
        InputError, match="compiler does not support InfraValidator; compile the pipeline"
    ):
        compile_pipeline(pipeline, IMAGE, str(output))
    assert output.read_text() == "old"
    assert os.listdir(tmp_path) == ["job.json"]


def test_a_container_does_its_work_as_the_cluster_starts_it(tmp_path):
    source = SourceConfig(dataset="synthetic", options={"rows": 200})
    config = dataclasses.replace(PRETRAIN, source=source, beam_args=[])
    (tmp_path / "job").mkdir()
    spec, _ = compile_job(pretrain.create_pipeline(config), tmp_path / "job")
    given = spec.root.dag.tasks["RawExampleGen"].inputs.parameters
    values = {name: value.runtime_value.constant_value for name, value in given.items()}
    output = spec.components["RawExampleGen"].output_definitions.artifacts["examples"]
    executor_input = pipeline_spec_pb2.ExecutorInput()
    for name, value in values.items():
        executor_input.inputs.parameters[name].CopyFrom(value)
    examples = executor_input.outputs.artifacts["examples"].artifacts.add(
        name="1", uri=str(tmp_path / "examples")
    )
    examples.type.CopyFrom(output.artifact_type)
    executor_input.outputs.output_file = str(tmp_path / "task" / "executor_output.json")
    container = find_containers(spec)["RawExampleGen"]
    command = [*container["command"], *container["args"]]
    filled = json_format.MessageToJson(executor_input)
    # A container does not have this process's environment.
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        [filled if argument == "{{$}}" else argument for argument in command],
        env={"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_description(examples.uri)["splits"]["train"]["rows"] == 200


def test_the_program_with_all_its_flags(compiled):
    spec, job = compiled["all"]
    assert set(spec.root.dag.tasks) == ADD_TASK_COMPONENTS
    assert {c["image"] for c in find_containers(spec).values()} == {IMAGE}
    assert all("--direct_num_workers=2" in c["args"] for c in find_containers(spec).values())
    assert not any(t.caching_options.enable_cache for t in spec.root.dag.tasks.values())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"

    # The URIs have to be given to a run, as strings.
    parameters = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert parameters == {name: {"type": "STRING"} for name in URIS}
    for component, name in {
        "BaseModel": "base_model",
        "ProductionModel": "production_model",
        "BackboneSchema": "schema",
        "BackboneStatistics": "statistics",
    }.items():
        given = spec.root.dag.tasks[component].inputs.parameters["artifact_uri"]
        assert given.component_input_parameter == name

    def constant(component, name):
        value = spec.root.dag.tasks[component].inputs.parameters[name].runtime_value
        return value.constant_value.string_value

    assert constant("Pusher", "serving_dir") == "/models/mptrec"
    assert json.loads(constant("DataGate", "config"))["max_drift_of"] == {"item_price": 0.3}
    tuner = json.loads(constant("PromptTuner", "custom_config"))["config"]
    assert tuner["task"] == "share"
    assert {k: tuner["how"]["training"][k] for k in ("epochs", "patience", "seed")} == {
        "epochs": 7,
        "patience": 3,
        "seed": 4,
    }
    evaluated = EvaluatorConfig.from_json(constant("Evaluator", "config"))
    assert evaluated.tasks == ("click", "like", "share")
    assert evaluated.compared == ("click", "like")
    thresholds = evaluated.thresholds
    assert thresholds.least == {"share": 0.61}
    assert thresholds.gate == Gate(0.02, 0.9, 30, 0.05)
    assert thresholds.accepted == ("click",)
    assert evaluated.slices == (("device", "hour"), ("user_city",))
    assert evaluated.split == "test"


def test_the_program_passes_a_rule_on(compiled):
    parameters = compiled["rule"][0].root.dag.tasks["RawExampleGen"].inputs.parameters
    given = {
        name: parameters[name].runtime_value.constant_value.string_value
        for name in ("custom_config", "input_config", "input_base")
    }
    custom = json.loads(given["custom_config"])["custom_config"]
    config = SourceConfig.from_json(custom["value"]["source"])
    assert config.split == SplitRule((0.6, 0.2, 0.2), "time:at")
    assert given["input_base"] == "gs://b/rows/"
    patterns = {of["name"]: of["pattern"] for of in json.loads(given["input_config"])["splits"]}
    assert patterns == dict.fromkeys(("train", "validation", "test"), "*.csv")


def test_the_program_compares_a_pre_training_where_production_has_tasks(compiled):
    model = compiled["compared"][0].root.dag.tasks["ProductionModel"].inputs
    given = model.parameters["artifact_uri"]
    assert given.component_input_parameter == "production_model"


REJECTED = [
    (["--pipeline_root=root"], "--pipeline_root=root is not an object store"),
    (["--pipeline_root=/mnt/root"], "--pipeline_root=/mnt/root is not an object store"),
    (["--serving_dir=models"], "--serving_dir=models is relative to this machine's working"),
    (["--data_dir=data"], "--data_dir=data is relative to this machine's working"),
    (["--train_files=train/*.csv"], "--train_files=train/*.csv is relative to this"),
    (["--files=rows/*.csv"], "--files=rows/*.csv is relative to this"),
    (["--files=/data/*.csv"], "--files goes with --spec, not with --dataset"),
    (["--split_by=user"], "--split_by goes with --files, whose rows it splits."),
    (["--files=/d/*.csv", "--split=0.5,0.5,0.5"], "--split=0.5,0.5,0.5: the shares 0.5,0.5,0.5"),
    (["--files=/d/*.csv", "--test_files=/t.csv"], "or --test_files and its likes; received both"),
    (["--schema=schema.pbtxt"], "--schema=schema.pbtxt is relative to this machine's"),
    (["--tasks=click,clack"], "unknown task 'clack'"),
    (["--tasks="], "pretrain needs --tasks"),
    (["--production_tasks=clock"], "unknown task 'clock'"),
    (["--pipeline=add_task"], "add_task needs --new_task and --production_tasks"),
    (
        ["--pipeline=add_task", "--new_task=share", "--production_tasks=like"],
        "--tasks goes with --pipeline=pretrain, not with add_task",
    ),
    (["--promote=like"], "--promote goes with refresh, not with pretrain"),
    (["--pipeline=refresh"], "--tasks does not go with refresh: columns, tasks and settings are"),
    (["--docker"], "Kubeflow's compiler does not support InfraValidator"),
    (["--dataset="], "give either --dataset (built in) or --spec (your own data)"),
    (["--train_files=/data/*.csv"], "--train_files goes with --spec, not with --dataset"),
    (["--least_score=click"], "--least_score=click: 'click' is not of the form name=number"),
    (["--no_flag=1"], "unknown flag --no_flag"),
    (["--output=job.txt"], "job.txt ends neither in .json (a job) nor in .yaml"),
]
ALL_FLAGS = [
    f"--image={IMAGE}",
    "--pipeline=add_task",
    "--dataset=synthetic",
    "--rows=1000",
    "--production_tasks=click,like",
    "--new_task=share",
    "--pipeline_root=gs://bucket/root/",
    "--serving_dir=/models/mptrec/",
    "--least_auc=share=0.61",
    "--margin=0.02",
    "--confidence=0.9",
    "--least_positives=30",
    "--calibration_margin=0.05",
    "--accept=click",
    "--max_drift=item_price=0.3",
    "--slices=device+hour,user_city",
    "--epochs=7",
    "--patience=3",
    "--seed=4",
    "--nocache",
    "--direct_num_workers=2",
]
# All in one process, as most of a start is spent on imports.
RUN_ALL = """
import json, sys
from absl import flags
from absl.testing import flagsaver
from mptrec_tf.errors import InputError
from pipelines import kubeflow

messages = []
for given in json.load(sys.stdin):
    with flagsaver.flagsaver():
        rest = flags.FLAGS(["kubeflow", *given], known_only=True)
        try:
            messages.append(kubeflow.main(rest[1:]))
        except InputError as error:
            messages.append(str(error))
print(json.dumps(messages))
"""


def pretrain_flags(folder, *flags):
    common = ["--pipeline=pretrain", "--pipeline_root=gs://b/r", "--tasks=click", "--image=i"]
    common += ["--serving_dir=gs://b/m", "--dataset=synthetic", f"--output={folder / 'job.json'}"]
    return [*common, *flags]


ACCEPTED = ("rule", "compared", "all")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of the program's outputs."""
    return {what: tmp_path_factory.mktemp(what) for what in ("rejected", *ACCEPTED)}


@pytest.fixture(scope="module")
def messages(folders, tmp_path_factory):
    """The program's messages for all rejected flags, and then None for each that it accepts."""
    shop = tmp_path_factory.mktemp("shop") / "shop.yaml"
    shop.write_text(
        "{name: shop, numeric: [x], tasks: [{name: click, label: clicked, positive: 1}]}"
    )
    rule = ("--files=gs://b/rows/*.csv", "--split_by=time:at", "--split=0.6,0.2,0.2")
    tasks = ("--tasks=click,like", "--production_tasks=click,share", "--margin=0.02")
    given = [pretrain_flags(folders["rejected"], *flags) for flags, _ in REJECTED]
    own = pretrain_flags(folders["rule"], f"--spec={shop}", *rule)
    given.append([flag for flag in own if not flag.startswith("--dataset")])
    given.append(pretrain_flags(folders["compared"], *tasks))
    given.append([*ALL_FLAGS, f"--output={folders['all'] / 'job.json'}"])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=ROOT,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def compiled(messages, folders):
    """The PipelineSpecs that the program compiled, and the jobs."""
    assert messages[len(REJECTED) :] == [None] * len(ACCEPTED)
    jobs = {what: json.loads((folders[what] / "job.json").read_text()) for what in ACCEPTED}
    return {what: (parse_spec(job["pipelineSpec"]), job) for what, job in jobs.items()}


@pytest.mark.parametrize("case", range(len(REJECTED)), ids=[" ".join(f) for f, _ in REJECTED])
def test_rejections(messages, folders, case):
    assert REJECTED[case][1] in messages[case]
    assert not list(folders["rejected"].iterdir())


def test_a_rejection_ends_the_program_with_a_sentence(run_program, tmp_path):
    flags = pretrain_flags(tmp_path, "--pipeline_root=root")
    done = run_program("pipelines.kubeflow", *flags, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "mptrec-kubeflow: error: --pipeline_root=root is not an object store"
    )
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["pipelines.compiling", "components.pusher.executor"])
def test_a_module_can_be_imported_before_anything_else(tmp_path, module):
    """Keras 2 is selected before it imports TensorFlow, which takes no time here."""
    (tmp_path / "tensorflow").mkdir()
    code = "import os; raise ImportError('legacy: ' + os.getenv('TF_USE_LEGACY_KERAS', 'no'))"
    (tmp_path / "tensorflow" / "__init__.py").write_text(code)
    environment = {name: v for name, v in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.endswith("ImportError: legacy: 1\n")
