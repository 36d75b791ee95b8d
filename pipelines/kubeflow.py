r"""Compiles a pipeline for Kubeflow Pipelines (V2): a PipelineSpec to upload.

    python -m pipelines.kubeflow --pipeline=pretrain --tasks=click,like --new_task=share \
        --dataset=synthetic --image=IMAGE --pipeline_root=gs://BUCKET/root \
        --serving_dir=gs://BUCKET/models/mptrec --output=pretrain.json
    python -m pipelines.kubeflow --pipeline=add_task --production_tasks=click,like \
        --new_task=share --dataset=synthetic --image=IMAGE --pipeline_root=gs://BUCKET/root \
        --serving_dir=gs://BUCKET/models/mptrec --output=add_task.json
    python -m pipelines.kubeflow --pipeline=refresh --train_files='gs://BUCKET/new/train*.csv' \
        --validation_files=gs://BUCKET/new/validation.csv --test_files=gs://BUCKET/new/test.csv \
        --image=IMAGE --pipeline_root=gs://BUCKET/root \
        --serving_dir=gs://BUCKET/models/mptrec --output=refresh.json

The image holds this package and its locked dependencies. A run of add_task needs the URIs
of the model in production and of the inputs of its backbone, as the parameters base_model (the
model that the task joins), production_model, schema and statistics: the cluster's own ML Metadata
lists them. A run of pretrain needs production_model if --production_tasks names tasks to compare;
the first run has none. For refresh, the newest version in --serving_dir is read while the pipeline
is compiled, as it says which tasks there are: compile it anew for each renewal. A file that ends in
.yaml gets the PipelineSpec without its job. Flags that
are not listed here go to Beam.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from absl import flags

from mptrec_tf.bin import data_flags, program
from mptrec_tf.errors import InputError
from pipelines import flags as pipeline_flags
from pipelines.config import (
    PIPELINES,
    PipelineConfig,
    make_add_task_config,
    make_pretrain_config,
    make_refresh_config,
)

if TYPE_CHECKING:
    from components.example_gen.source import SourceConfig
    from mptrec_tf.renewal.plan import Plan

_PIPELINE = flags.DEFINE_enum("pipeline", None, PIPELINES, "Which pipeline.")
_IMAGE = flags.DEFINE_string("image", None, "Container image of the components.")
_ROOT = flags.DEFINE_string(
    "pipeline_root", None, "Where artifacts go, as gs://, s3:// or minio://; a run may change it."
)
_SERVING_DIR = flags.DEFINE_string("serving_dir", None, "Where versions are pushed.")
_OUTPUT = flags.DEFINE_string("output", None, "The file to write: .json, or .yaml.")
_PRODUCTION_TASKS = flags.DEFINE_list(
    "production_tasks",
    [],
    "Tasks that the model in production predicts. pretrain: none if nothing is in production yet; "
    "those that are pre-trained again are compared with it.",
)
_CACHE = flags.DEFINE_bool(
    "cache", PipelineConfig.cache, "Skip components whose inputs did not change."
)
flags.mark_flags_as_required(["pipeline", "image", "pipeline_root", "serving_dir", "output"])
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(pipeline_flags)


def _check_reachable() -> None:
    """Rejects paths that do not exist in a container.

    An absolute path may be in the image, or on a volume that every container mounts; Kubeflow's own
    artifacts go to an object store.
    """
    root = _ROOT.value
    if "://" not in root or root.startswith("file:"):
        raise InputError(
            f"--pipeline_root={root} is not an object store, where Kubeflow stores artifacts; give "
            "gs://BUCKET/..., s3://BUCKET/... or minio://BUCKET/..."
        )
    paths = (_SERVING_DIR, *data_flags.list_directories(), pipeline_flags.SCHEMA)
    for flag in (*paths, pipeline_flags.ALL_FILES, *pipeline_flags.FILES.values()):
        path = flag.value
        if path and "://" not in path and not os.path.isabs(path):
            raise InputError(
                f"--{flag.name}={path} is relative to this machine's working directory; give a "
                "path that every container sees, such as gs://BUCKET/..."
            )


def _check_tasks() -> None:
    """Rejects flags that name no tasks, or belong to another pipeline."""
    pipeline_flags.check_run(_PIPELINE.value)
    if _PIPELINE.value == "refresh":
        if _PRODUCTION_TASKS.value:
            raise InputError("--production_tasks does not go with refresh, which reads them.")
    elif _PIPELINE.value == "add_task":
        if not (pipeline_flags.NEW_TASK.value and _PRODUCTION_TASKS.value):
            raise InputError("add_task needs --new_task and --production_tasks.")
        for flag in (pipeline_flags.TASKS, pipeline_flags.SCHEMA, pipeline_flags.DROP_TASKS):
            if flag.value:
                raise InputError(f"--{flag.name} goes with --pipeline=pretrain, not with add_task.")
    elif not pipeline_flags.TASKS.value:
        raise InputError("pretrain needs --tasks, the tasks to pre-train on.")


def _collect_tasks() -> tuple[str, ...]:
    """Returns all tasks that flags name: later ones, too, so that their labels are not features."""
    named = (*_PRODUCTION_TASKS.value, *pipeline_flags.TASKS.value, pipeline_flags.NEW_TASK.value)
    return tuple(dict.fromkeys(filter(None, named)))


def _make_refresh_pipeline(beam_args: list[str], plan: Plan) -> Any:
    from pipelines import production, refresh

    source = pipeline_flags.make_source(plan.spec.task_names, spec=plan.spec)
    baseline = production.find_baseline(plan.base_path, plan.spec, plan.spec.task_names)
    config = make_refresh_config(
        _make_common_config(source, beam_args),
        plan,
        production_model=baseline.model,
        production_tasks=baseline.tasks,
        warm=not pipeline_flags.FROM_SCRATCH.value,
        schema_file=pipeline_flags.SCHEMA.value,
    )
    return refresh.create_pipeline(config)


def _make_common_config(source: SourceConfig, beam_args: list[str]) -> PipelineConfig:
    return pipeline_flags.make_pipeline_config(
        _ROOT.value.rstrip("/"),
        _SERVING_DIR.value.rstrip("/"),
        source,
        beam_args,
        cache=_CACHE.value,
        cluster=True,
    )


def _make_pipeline(beam_args: list[str]) -> Any:
    from tfx.orchestration.data_types import RuntimeParameter

    from pipelines import add_task, pretrain

    def parameter(name: str) -> RuntimeParameter:
        # Without a default, so that a run that leaves it out is rejected before it begins.
        return RuntimeParameter(name=name, ptype=str)

    new = pipeline_flags.NEW_TASK.value
    old = _PRODUCTION_TASKS.value
    source = pipeline_flags.make_source(_collect_tasks())
    common = _make_common_config(source, beam_args)
    if _PIPELINE.value == "pretrain":
        tasks = pipeline_flags.TASKS.value
        source.make_spec().select_tasks(tasks)
        config = make_pretrain_config(
            common,
            tasks,
            pipeline_flags.read_training_fields(),
            pipeline_flags.MODEL.value,
            schema_file=pipeline_flags.SCHEMA.value,
            may_drop_tasks=pipeline_flags.DROP_TASKS.value,
            production_model=parameter("production_model") if old else None,
            production_tasks=old,
        )
        return pretrain.create_pipeline(config)
    uris = ("base_model", "production_model", "schema", "statistics")
    parameters = {name: parameter(name) for name in uris}
    config = make_add_task_config(
        common, new, pipeline_flags.make_new_task_config(), **parameters, production_tasks=old
    )
    return add_task.create_pipeline(config)


def main(beam_args: list[str]) -> None:
    """Compiles the pipeline."""
    from mptrec_tf.data.runners import check_beam_args
    from mptrec_tf.storage.directories import check_writable

    _check_reachable()
    _check_tasks()
    plan = None
    if _PIPELINE.value == "refresh":
        plan = pipeline_flags.make_plan(_SERVING_DIR.value.rstrip("/"))
    else:
        pipeline_flags.check_tasks(_collect_tasks())
    check_writable(_OUTPUT.value)
    check_beam_args(beam_args)

    from pipelines.compiling import compile_pipeline  # TFX takes seconds to import

    pipeline = _make_refresh_pipeline(beam_args, plan) if plan else _make_pipeline(beam_args)
    compile_pipeline(pipeline, _IMAGE.value, _OUTPUT.value)
    print(f"{_PIPELINE.value} pipeline written to {_OUTPUT.value}")


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
