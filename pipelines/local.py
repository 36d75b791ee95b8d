r"""Both pipelines on this machine: pre-train a model and push it, then add a task to it.

    python -m pipelines.local --dataset=synthetic --root=build/synthetic
    python -m pipelines.local --dataset=census_income --data_dir=DIR --root=build/census_income
    python -m pipelines.local --spec=my.yaml --train_files=... --validation_files=... \
        --test_files=... --tasks=click,like --new_task=purchase --root=ROOT
    python -m pipelines.local --run=add_task --new_task=share --root=ROOT ...

The newest version in the serving directory is in production: a new task joins it. What did not
change since an earlier run with the same root is not done again; a run that was killed goes on
where it was. Flags that are not listed here go to Beam.
"""

import os
from typing import Any

from absl import flags

from mptrec_tf.bin import data_flags, program
from mptrec_tf.errors import InputError

# Tasks to pre-train on, and the new one.
_TASKS = {
    "synthetic": (("click", "like", "share"), "purchase"),
    "census_income": (("income", "marital"), "education"),
}

_RUN = flags.DEFINE_enum(
    "run", "both", ["both", "pretrain", "add_task"], "Which pipelines to run, in this order."
)
_TASKS_FLAG = flags.DEFINE_list("tasks", [], "Tasks to pre-train on. Default: the data set's.")
_NEW_TASK = flags.DEFINE_string("new_task", None, "The task to add. Default: the data set's.")
_FILES = {
    split: flags.DEFINE_string(f"{split}_files", None, f"Your own {split} rows: a file or glob.")
    for split in ("train", "validation", "test")
}
_ROOT = flags.DEFINE_string("root", "build/synthetic", "Directory of all that the pipelines make.")
_SERVING_DIR = flags.DEFINE_string(
    "serving_dir", None, "Where versions are pushed. Default: <root>/saved_models/mptrec."
)
_BASE_MODEL = flags.DEFINE_string(
    "base_model",
    None,
    "URI of the Model artifact that the new task joins. Default: the model in production.",
)
_SCHEMA = flags.DEFINE_string(
    "schema", None, "A curated schema (text proto). Default: inferred from the training rows."
)
_LEAST_AUC = flags.DEFINE_list("least_auc", [], "Lower bounds, as task=0.8, by commas.")
_MARGIN = flags.DEFINE_float(
    "margin", 0.005, "How much lower than in production a task's AUC may be.", lower_bound=0.0
)
_MAX_DRIFT = flags.DEFINE_list(
    "max_drift", [], "Limits of single features' drift, as feature=0.2, by commas. Others: 0.1."
)
_SLICES = flags.DEFINE_list("slices", [], "Features to evaluate by; several at once as a+b.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Of each training, at most.", lower_bound=1)
_PATIENCE = flags.DEFINE_integer(
    "patience", 5, "Stop after so many epochs without a better validation AUC.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 1, "Of the training.", lower_bound=0)
_DOCKER = flags.DEFINE_bool(
    "docker", False, "Check the candidate with TF Serving in a container (TFX's InfraValidator)."
)
_DROP_TASKS = flags.DEFINE_bool(
    "may_drop_tasks",
    False,
    "Let the pre-training pipeline push a model that lacks tasks of the one in production: a new "
    "backbone knows none of the tasks that were added to the old one.",
)
flags.adopt_module_key_flags(data_flags)


def _numbers(flag: flags.FlagHolder) -> dict[str, float]:
    """The numbers of a list flag such as a=1,b=2."""
    numbers = {}
    for item in flag.value:
        name, _, value = item.partition("=")
        try:
            numbers[name] = float(value)
        except ValueError as error:
            raise InputError(
                f"--{flag.name}={','.join(flag.value)}: {item!r} is not of the form name=number."
            ) from error
    return numbers


def _absolute(path: str) -> str:
    return path.rstrip("/") if "://" in path else os.path.abspath(path)


def _source(tasks: tuple[str, ...]) -> Any:
    from components.example_gen.source import SourceConfig
    from mptrec_tf.spec_yaml import load

    if bool(data_flags.DATASET.value) and bool(data_flags.SPEC.value):
        raise InputError("give either --dataset (built in) or --spec (your own data), not both.")
    if data_flags.SPEC.value:
        files = {split: _absolute(flag.value) for split, flag in _FILES.items() if flag.value}
        return SourceConfig(spec=load(data_flags.SPEC.value), files=files)
    return SourceConfig(
        dataset=data_flags.DATASET.value or "synthetic",
        data_dir=data_flags.DATA_DIR.value,
        tasks=tasks,
        rows=data_flags.ROWS.value,
        seed=data_flags.DATA_SEED.value,
    )


def main(beam_args: list[str]) -> None:
    """Runs the pipelines and prints what they did."""
    from mptrec_tf.preparation import check_beam_args

    check_beam_args(beam_args)
    dataset = None if data_flags.SPEC.value else data_flags.DATASET.value or "synthetic"
    old, new = _TASKS.get(dataset, ((), None))
    old, new = tuple(_TASKS_FLAG.value) or old, _NEW_TASK.value or new
    if not old and _RUN.value != "add_task":
        raise InputError("name the tasks to pre-train on by --tasks.")
    if not new and _RUN.value != "pretrain":
        raise InputError("name the task to add by --new_task.")
    # Every task that is to come is declared now, so that its label is no feature.
    every = tuple(dict.fromkeys((*old, new))) if new else old
    source = _source(every)
    source.make_spec().select_tasks(every)

    from pipelines.whole_way import WholeWay  # TFX takes seconds to import

    # ML Metadata names artifacts by their paths, from wherever it is read.
    root = _absolute(_ROOT.value)
    way = WholeWay(
        root=root,
        serving_dir=_absolute(_SERVING_DIR.value or f"{root}/saved_models/mptrec"),
        source=source,
        least_auc=_numbers(_LEAST_AUC),
        margin=_MARGIN.value,
        max_drift=_numbers(_MAX_DRIFT),
        slices=[columns.split("+") for columns in _SLICES.value],
        beam_args=beam_args,
        docker=_DOCKER.value,
        epochs=_EPOCHS.value,
        patience=_PATIENCE.value,
        seed=_SEED.value,
    )
    try:
        if _RUN.value != "add_task":
            way.pretrain(old, _SCHEMA.value, _DROP_TASKS.value)
        if _RUN.value != "pretrain":
            way.add_task(new, _BASE_MODEL.value and _absolute(_BASE_MODEL.value))
        way.query()
    finally:
        way.print_tables()


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
