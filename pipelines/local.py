r"""The pipelines on this machine: pre-train a model and push it, add a task to it, renew it.

    python -m pipelines.local --dataset=synthetic_logs --root=build/synthetic_logs
    python -m pipelines.local --dataset=census_income --data_dir=DIR --root=build/census_income
    python -m pipelines.local --spec=my.yaml --train_files=... --validation_files=... \
        --test_files=... --tasks=click,like --new_task=purchase --root=ROOT
    python -m pipelines.local --spec=my.yaml --files='rows/*.csv' --split_by=user_id \
        --tasks=click,like --new_task=purchase --root=ROOT
    python -m pipelines.local --run=add_task --new_task=share --root=ROOT ...

Defaults of --tasks and --new_task are those of a built-in data set. The newest version in the
serving directory is in production: a new task joins it, and a refresh trains all of it anew on new
rows, with its own tasks and settings. Components whose inputs did not change
since an earlier run with the same root are skipped; a run that was killed continues where it was.
Flags that are not listed here go to Beam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from mptrec_tf.bin import data_flags, program
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.errors import InputError
from pipelines import flags as pipeline_flags
from pipelines.config import PIPELINES
from pipelines.defaults import DATASET

if TYPE_CHECKING:
    from components.example_gen.source import SourceConfig
    from pipelines.local_pipelines import LocalPipelines

_RUN = flags.DEFINE_enum(
    "run", "both", ["both", *PIPELINES], "Which pipelines to run; both: pretrain, then add_task."
)
_ROOT = flags.DEFINE_string(
    "root", f"build/{DATASET}", "Directory of everything that the pipelines make."
)
_SERVING_DIR = flags.DEFINE_string(
    "serving_dir", None, "Where versions are pushed. Default: <root>/saved_models/mptrec."
)
_BASE_MODEL = flags.DEFINE_string(
    "base_model",
    None,
    "URI of the Model artifact that the new task joins. Default: the model in production.",
)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(pipeline_flags)


def main(beam_args: list[str]) -> None:
    """Runs the pipelines and prints their results."""
    pipeline_flags.check_run(_RUN.value)
    pipeline_flags.check_strategy()
    if _BASE_MODEL.value and _RUN.value not in ("both", "add_task"):
        raise InputError(f"--base_model goes with add_task, not with {_RUN.value}.")
    # ML Metadata names artifacts by their paths, from wherever it is read.
    root = pipeline_flags.make_absolute(_ROOT.value)
    serving_dir = pipeline_flags.make_absolute(_SERVING_DIR.value or f"{root}/saved_models/mptrec")
    if _RUN.value == "refresh":
        _refresh(root, serving_dir, beam_args)
        return
    dataset = None if data_flags.SPEC.value else data_flags.DATASET.value or DATASET
    old, new = _get_default_tasks(dataset)
    old, new = tuple(pipeline_flags.TASKS.value) or old, pipeline_flags.NEW_TASK.value or new
    if not old and _RUN.value != "add_task":
        raise InputError("name the tasks to pre-train on by --tasks.")
    if not new and _RUN.value != "pretrain":
        raise InputError("name the task to add by --new_task.")
    # Later tasks are declared now, too, so that their labels are not features.
    every = tuple(dict.fromkeys((*old, new))) if new else old
    pipeline_flags.check_tasks(every, default=DATASET)

    from mptrec_tf.data.runners import check_beam_args  # Beam takes seconds to import

    check_beam_args(beam_args)
    source = pipeline_flags.make_source(every, default=DATASET)
    source.make_spec().select_tasks(every)

    pipelines = _make_pipelines(root, serving_dir, source, beam_args)
    try:
        if _RUN.value != "add_task":
            pipelines.pretrain(old, pipeline_flags.SCHEMA.value, pipeline_flags.DROP_TASKS.value)
        if _RUN.value != "pretrain":
            base_model = _BASE_MODEL.value and pipeline_flags.make_absolute(_BASE_MODEL.value)
            pipelines.add_task(new, base_model)
        pipelines.query()
    finally:
        pipelines.print_tables()


def _refresh(root: str, serving_dir: str, beam_args: list[str]) -> None:
    """Renews the model in production."""
    plan = pipeline_flags.make_plan(serving_dir)

    from mptrec_tf.data.runners import check_beam_args  # Beam takes seconds to import

    check_beam_args(beam_args)
    source = pipeline_flags.make_source(plan.spec.task_names, spec=plan.spec)
    pipelines = _make_pipelines(root, serving_dir, source, beam_args)
    try:
        pipelines.refresh(
            plan,
            warm=not pipeline_flags.FROM_SCRATCH.value,
            schema_file=pipeline_flags.SCHEMA.value,
        )
        pipelines.query()
    finally:
        pipelines.print_tables()


def _make_pipelines(
    root: str, serving_dir: str, source: SourceConfig, beam_args: list[str]
) -> LocalPipelines:
    from pipelines.local_pipelines import LocalPipelines  # TFX takes seconds to import

    return LocalPipelines(
        pipeline_flags.make_pipeline_config(root, serving_dir, source, beam_args),
        pipeline_flags.read_training_fields(),
        pipeline_flags.HEAD.value,
        pipeline_flags.MODEL.value,
    )


def _get_default_tasks(dataset: str | None) -> tuple[tuple[str, ...], str | None]:
    """Returns a data set's tasks to pre-train on, and the one to add."""
    if dataset is None:
        return (), None
    of = DATASETS.get(dataset)
    return tuple(task for task in of.tasks if task != of.new_task), of.new_task


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
