r"""Compiles a pipeline for Kubeflow Pipelines (V2): a PipelineSpec to upload.

    python -m pipelines.kubeflow --pipeline=pretrain --tasks=click,like --dataset=synthetic \
        --image=IMAGE --pipeline_root=gs://BUCKET/root --serving_dir=gs://BUCKET/models/mptrec \
        --output=pretrain.json
    python -m pipelines.kubeflow --pipeline=add_task --production_tasks=click,like \
        --new_task=share --dataset=synthetic --image=IMAGE --pipeline_root=gs://BUCKET/root \
        --serving_dir=gs://BUCKET/models/mptrec --output=add_task.json

The image holds this package and its locked dependencies. A run of add_task is started with the
URIs of the model in production and of what its backbone was made from: base_model,
production_model, schema and statistics (`mptrec-lineage` prints them). Flags that are not listed
here go to Beam.
"""

import os
from typing import Any

from absl import flags

from mptrec_tf.bin import data_flags, program
from mptrec_tf.directories import check_writable, file_written_aside
from mptrec_tf.errors import InputError

_PIPELINE = flags.DEFINE_enum("pipeline", None, ["pretrain", "add_task"], "Which pipeline.")
_IMAGE = flags.DEFINE_string("image", None, "Container image of the components.")
_ROOT = flags.DEFINE_string("pipeline_root", None, "Where artifacts go; a run may give another.")
_SERVING_DIR = flags.DEFINE_string("serving_dir", None, "Where versions are pushed.")
_OUTPUT = flags.DEFINE_string("output", None, "Write the PipelineSpec to this file, as JSON.")
_TASKS = flags.DEFINE_list("tasks", [], "pretrain: tasks to pre-train on.")
_NEW_TASK = flags.DEFINE_string(
    "new_task", None, "The task to add; for pretrain, one that is to come, if there is one."
)
_PRODUCTION_TASKS = flags.DEFINE_list(
    "production_tasks", [], "add_task: tasks that the model in production answers."
)
_FILES = {
    split: flags.DEFINE_string(f"{split}_files", None, f"Your own {split} rows: a path or glob.")
    for split in ("train", "validation", "test")
}
flags.mark_flags_as_required(["pipeline", "image", "pipeline_root", "serving_dir", "output"])
flags.adopt_module_key_flags(data_flags)


def compile_pipeline(pipeline: Any, image: str, output: str) -> None:
    """Writes the PipelineSpec of a pipeline; the file appears whole.

    Args:
      pipeline: A TFX pipeline.
      image: Container image of the components.
      output: Path of the JSON file.
    """
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as kubeflow

    directory, name = os.path.split(os.path.abspath(output))
    aside = f".{name}"
    runner = kubeflow.KubeflowV2DagRunner(
        kubeflow.KubeflowV2DagRunnerConfig(default_image=image),
        output_dir=directory,
        output_filename=aside,
    )
    runner.run(pipeline)
    path = os.path.join(directory, aside)
    with open(path, encoding="utf-8") as file:
        spec = file.read()
    os.remove(path)
    with file_written_aside(output) as file:
        file.write(spec)


def _parameter(name: str) -> Any:
    from tfx.orchestration.data_types import RuntimeParameter

    return RuntimeParameter(name=name, ptype=str, default="")


def _make_pipeline(beam_args: list[str]) -> Any:
    from components.example_gen.source import SourceConfig
    from components.pretrainer.config import PretrainerConfig
    from components.prompt_tuner.config import PromptTunerConfig
    from mptrec_tf.spec_yaml import load
    from pipelines import add_task, pretrain
    from pipelines.config import AddTaskConfig, PretrainConfig

    is_new = _PIPELINE.value == "add_task"
    if is_new and not (_NEW_TASK.value and _PRODUCTION_TASKS.value):
        raise InputError("add_task needs --new_task and --production_tasks.")
    if not is_new and not _TASKS.value:
        raise InputError("pretrain needs --tasks.")
    tasks = [*(_PRODUCTION_TASKS.value if is_new else _TASKS.value), _NEW_TASK.value]
    if bool(data_flags.DATASET.value) == bool(data_flags.SPEC.value):
        raise InputError("give either --dataset (built in) or --spec (your own data).")
    if data_flags.SPEC.value:
        files = {split: flag.value for split, flag in _FILES.items() if flag.value}
        source = SourceConfig(spec=load(data_flags.SPEC.value), files=files)
    else:
        source = SourceConfig(
            dataset=data_flags.DATASET.value,
            data_dir=data_flags.DATA_DIR.value,
            tasks=tuple(dict.fromkeys(filter(None, tasks))),
            rows=data_flags.ROWS.value,
            seed=data_flags.DATA_SEED.value,
        )
    common = {
        "root": _ROOT.value.rstrip("/"),
        "serving_dir": _SERVING_DIR.value.rstrip("/"),
        "source": source,
        "beam_args": beam_args,
        "cluster": True,
    }
    if not is_new:
        trainer = PretrainerConfig(tasks=tuple(_TASKS.value))
        source.make_spec().select_tasks(trainer.tasks)
        return pretrain.create_pipeline(PretrainConfig(**common, trainer=trainer))
    return add_task.create_pipeline(
        AddTaskConfig(
            **common,
            tuner=PromptTunerConfig(task=_NEW_TASK.value),
            production_tasks=_PRODUCTION_TASKS.value,
            base_model=_parameter("base_model"),
            production_model=_parameter("production_model"),
            schema=_parameter("schema"),
            statistics=_parameter("statistics"),
        )
    )


def main(beam_args: list[str]) -> None:
    """Compiles the pipeline."""
    from mptrec_tf.preparation import check_beam_args

    check_writable(_OUTPUT.value)
    check_beam_args(beam_args)
    for flag in (_ROOT, _SERVING_DIR):
        if "://" not in flag.value and not os.path.isabs(flag.value):
            raise InputError(
                f"--{flag.name}={flag.value} is relative to this machine's working directory; give "
                "a path that every container sees, such as gs://BUCKET/..."
            )
    compile_pipeline(_make_pipeline(beam_args), _IMAGE.value, _OUTPUT.value)
    print(f"{_PIPELINE.value} pipeline written to {_OUTPUT.value}")


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
