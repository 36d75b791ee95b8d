"""The tables that programs end with."""

from collections.abc import Mapping, Sequence
from typing import Any

from mptrec_tf.evaluation.report import print_table
from mptrec_tf.export.backbones import StoredBackbone
from mptrec_tf.export.packages import TaskPackage
from mptrec_tf.models.prompted import (
    PromptedMPTRec,
    count,
    joint_training_parameters,
    trainable_parameters,
)
from mptrec_tf.training.loop import Training
from mptrec_tf.training.new_task import Candidate


def pretraining_table(stored: StoredBackbone, result: Training) -> None:
    """Prints what pre-training achieved."""
    best = result.best
    rows = [
        {
            "task": task,
            "validation_AUC": best[f"val_auc/{task}"],
            "training_loss": best[f"loss/{task}"],
            "specific_gate": best[f"gate/{task}"],
            "cosine_to_shared": best[f"cosine/{task}"],
        }
        for task in stored.backbone.config.tasks
    ]
    print_table(rows, f"Best epoch {result.best_epoch + 1} of {len(result.history)}")
    print(f"{count(stored.backbone.parameters):,} parameters, {result.seconds:.0f} s")
    print(f"backbone {stored.fingerprint} in {stored.directory}")


def new_task_table(
    backbone: StoredBackbone,
    package: TaskPackage,
    chosen: Candidate,
    candidates: Sequence[Candidate],
) -> None:
    """Prints what adding a task achieved, and what it trained."""
    task, result = package.task.name, chosen.result
    joint = joint_training_parameters(backbone.backbone, 1)
    if len(candidates) > 1:
        rows = [
            {
                **c.row(),
                "share_of_joint": c.parameters / joint,
                "kept": "yes" if c is chosen else "",
            }
            for c in candidates
        ]
        print_table(rows, f"Heads for {task}: the smallest within the noise of the best is kept")
    row = {
        "task": task,
        "head": chosen.kind,
        "validation_AUC": chosen.validation_auc,
        "training_loss": result.best[f"loss/{task}"],
        "specific_gate": result.best[f"gate/{task}"],
        "best_epoch": result.best_epoch + 1,
        "epochs": len(result.history),
    }
    print_table([row], f"New task {task} on {backbone.directory}")
    trainable_parameters(PromptedMPTRec(backbone.backbone, {task: package.head}))
    print(
        f"{chosen.parameters / joint:.2%} of the {joint:,} parameters that joint training of all "
        f"{len(backbone.backbone.config.tasks) + 1} tasks would train; {result.seconds:.0f} s"
    )
    print(f"task package in {package.directory}")


def comparison_table(task: str, compared: Sequence[Mapping[str, Any]]) -> None:
    """Prints a new task's head beside its reference points, if they were trained."""
    if not compared:
        return
    print_table(
        [{k: v for k, v in row.items() if k != "parameters"} for row in compared],
        "AUC of the frozen model with the new task, of full joint training, and of it alone",
    )
    for row in compared:
        gain = row["mptrec_test"] - row["joint_test"]
        if row["task"] == task:
            alone = row["mptrec_test"] - row["single_test"]
            print(f"{task}: {gain:+.4f} to joint training, {alone:+.4f} to training it alone")
        else:
            print(f"{row['task']}: joint training would change its test AUC by {-gain:+.4f}")


def export_table(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], path: str, version: int
) -> None:
    """Prints what a new version is made of."""
    rows = [
        {"task": task, "kind": "pre-trained", "from": backbone.directory}
        for task in backbone.backbone.config.tasks
    ]
    rows += [{"task": p.task.name, "kind": "added", "from": p.directory} for p in packages]
    print_table(rows, f"Version {version}")
    print(f"written to {path}")
