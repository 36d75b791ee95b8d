"""The tables that programs print at their end."""

from collections.abc import Mapping, Sequence
from typing import Any

from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.evaluation.report import print_table
from mptrec_tf.models.heads.registry import HEADS
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.models.weights import count_parameters, print_trainable_parameters
from mptrec_tf.training.loop import Training
from mptrec_tf.training.new_task import Candidate
from mptrec_tf.training.reference import SPLITS, describe_comparison

# Outputs of models and heads beside predictions, and their columns in tables.
_EXTRA_COLUMNS = {"gate": "specific_gate", "cosine": "cosine_to_shared"}


def print_pretraining_table(stored: StoredBackbone, result: Training) -> None:
    """Prints the results of pre-training."""
    best = result.best
    rows = [
        {
            "task": task.name,
            task.score_column: best[task.score_log],
            "training_loss": best[f"loss/{task.name}"],
            **_select_extra(result, task.name),
        }
        for task in stored.spec.select_tasks(stored.shape.tasks)
    ]
    print_table(rows, f"Best epoch {result.best_epoch + 1} of {len(result.history)}")
    print(f"{count_parameters(stored.model.parameters):,} parameters, {result.seconds:.0f} s")
    print(f"backbone {stored.fingerprint} in {stored.directory}")


def _select_extra(result: Training, task: str) -> dict[str, float]:
    best = {column: result.best.get(f"{name}/{task}") for name, column in _EXTRA_COLUMNS.items()}
    return {column: value for column, value in best.items() if value is not None}


def print_new_task_table(
    backbone: StoredBackbone,
    package: TaskPackage,
    chosen: Candidate,
    candidates: Sequence[Candidate],
) -> None:
    """Prints the results of adding a task, and what was trained."""
    task, result = package.task.name, chosen.result
    joint = backbone.model.joint_parameters(1)
    if len(candidates) > 1:
        rows = [
            {
                **{k: v for k, v in c.row().items() if k != "run_seconds"},
                "share_of_joint": c.parameters / joint,
                "selected": "yes" if c is chosen else "",
            }
            for c in candidates
        ]
        print_table(
            rows, f"Heads for {task}: the smallest within the noise of the best is selected"
        )
        _print_runs(candidates)
    row = {
        "task": task,
        "head": chosen.kind,
        package.task.score_column: chosen.score,
        "training_loss": result.best[f"loss/{task}"],
        **_select_extra(result, task),
        "best_epoch": result.best_epoch + 1,
        "epochs": len(result.history),
    }
    print_table([row], f"New task {task} on {backbone.directory}")
    print_trainable_parameters(
        PromptedMPTRec(backbone.model, {task: NewTask(package.task, package.head)})
    )
    print(
        f"{chosen.parameters / joint:.2%} of the {joint:,} parameters that joint training of all "
        f"{len(backbone.shape.tasks) + 1} tasks would train"
        + ("" if len(candidates) > 1 else f"; {result.seconds:.0f} s")
    )
    print(f"task package in {package.directory}")


def _print_runs(candidates: Sequence[Candidate]) -> None:
    """Prints the seconds of each run: heads that are trained side by side share them."""
    runs: dict[int, list[Candidate]] = {}
    order = HEADS.names().index
    for candidate in sorted(candidates, key=lambda c: (c.run, order(c.kind))):
        runs.setdefault(candidate.run, []).append(candidate)
    for run, heads in runs.items():
        names = ", ".join(head.kind for head in heads)
        side_by_side = " side by side" if len(heads) > 1 else ""
        print(f"run {run}: {names} trained{side_by_side} in {heads[0].result.seconds:.0f} s")


def print_comparison_table(tasks: Sequence[Task], compared: Sequence[Mapping[str, Any]]) -> None:
    """Prints a new task's head beside its reference models, if they were trained.

    Args:
      tasks: The tasks that were compared, the new one last.
      compared: The rows that `reference.compare` returned.
    """
    if not compared:
        return
    columns = {"frozen": "frozen", "joint": "joint", "single": "alone"}
    task, scores = tasks[-1].name, ", ".join(dict.fromkeys(task.score_name for task in tasks))
    rows = [
        {"task": row["task"]}
        | {
            f"{shown}_{split}": row.get(f"{model}_{split}")
            for split in SPLITS
            for model, shown in columns.items()
        }
        for row in compared
    ]
    print_table(
        rows,
        f"{scores} of the frozen backbone with {task}, of joint training, and of {task} alone",
    )
    print("\n".join(describe_comparison(compared, tasks)))


def print_export_table(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], path: str, version: int
) -> None:
    """Prints the tasks of a new version."""
    rows = [
        {"task": task, "kind": "pre-trained", "from": backbone.directory}
        for task in backbone.shape.tasks
    ]
    rows += [{"task": p.task.name, "kind": "added", "from": p.directory} for p in packages]
    print_table(rows, f"Version {version}")
    print(f"written to {path}")
