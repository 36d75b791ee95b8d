"""The model card of a version: `assets.extra/model_card.json`, and the same in Markdown."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

import mptrec_tf
from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.artifacts.manifests import BASELINE
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.input_names import make_input_names
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.tasks.base import ISOTONIC, NONE, PLATT, Task
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.transform.graph import open_transform
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.export.versions import CARD, CARD_TO_READ
from mptrec_tf.models.heads.registry import shape_to_plain
from mptrec_tf.models.weights import count_parameters
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.plain import to_plain


def write_card(
    directory: str,
    backbone: StoredBackbone,
    packages: Sequence[TaskPackage],
) -> None:
    """Writes both files into a version's directory."""
    card = make_model_card(backbone, packages)
    tf.io.gfile.makedirs(os.path.dirname(os.path.join(directory, CARD)))
    write_file(os.path.join(directory, CARD), to_json(card))
    write_file(os.path.join(directory, CARD_TO_READ), format_markdown(card))


def make_model_card(backbone: StoredBackbone, packages: Sequence[TaskPackage]) -> dict[str, Any]:
    """Returns tasks, features, fingerprint, metrics, training data and releases, as plain data.

    Args:
      backbone: The backbone.
      packages: The tasks that were added.
    """
    pretrained = backbone.spec.select_tasks(backbone.shape.tasks)
    tasks = [_describe_task(task, "pre-trained", backbone.training) for task in pretrained]
    for package in packages:
        own = {
            "head": shape_to_plain(package.head.config),
            "parameters": count_parameters(package.head.trainable_weights),
        }
        tasks.append(_describe_task(package.task, "added", package.training) | own)
    every = (*pretrained, *(package.task for package in packages))
    return {
        "mptrec_tf": mptrec_tf.__version__,
        "tensorflow": tf.__version__,
        "backbone": backbone.fingerprint,
        "backbone_parameters": count_parameters(backbone.model.parameters),
        "spec": to_plain(dataclasses.replace(backbone.spec, tasks=every)),
        "inputs": make_input_names(raw_feature_spec(backbone.spec)),
        "features": _describe_features(backbone),
        "tasks": tasks,
    }


def _describe_task(task: Task, kind: str, training: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": kind,
        "calibration": _find_calibration(task, training),
        "metrics": _select_metrics(task.name, training),
        # The baseline is for programs, and in the version's parts.
        "training": {k: v for k, v in training.items() if k != BASELINE},
        **({"outputs": list(task.output_names)} if task.output_names else {}),
    }


def _find_calibration(task: Task, training: Mapping[str, Any]) -> str:
    """Returns what was fitted to the validation rows, in the words of `Task.calibrate`."""
    if task.knots:
        return ISOTONIC
    return PLATT if task.name in training.get("calibration", {}) else NONE


def _select_metrics(task: str, training: Mapping[str, Any]) -> dict[str, float]:
    """Returns a task's logs of the training's best epoch, such as "val_auc" and "loss"."""
    if not training.get("history"):
        return {}
    best = training["history"][training["best_epoch"]]
    ending = f"/{task}"
    return {name.removesuffix(ending): v for name, v in best.items() if name.endswith(ending)}


def _describe_features(backbone: StoredBackbone) -> list[dict[str, Any]]:
    """Returns each feature's kind, type and domain."""
    spec, transform = backbone.spec, open_transform(backbone.transform_dir)
    return [
        {"name": of.name, "kind": kind.section, "type": of.reads[0], "domain": domain}
        for kind, features in spec.by_kind().items()
        for of, domain in zip(features, kind.domains(spec, features, transform), strict=True)
    ]


def format_markdown(card: Mapping[str, Any]) -> str:
    """Returns a model card as Markdown."""
    spec = card["spec"]
    tasks = {raw["name"]: task_from_plain(raw) for raw in spec["tasks"]}
    outputs = " or ".join(dict.fromkeys(task.output for task in tasks.values()))
    scores = list(dict.fromkeys(task.score_name for task in tasks.values()))
    known = list(
        dict.fromkeys(name for task in card["tasks"] for name in _read_training_rows(task)[1])
    )
    columns = ["task", "kind", "label", *(f"validation {score}" for score in scores)]
    columns += ["calibration", "training rows", *known, "own parameters"]
    lines = [
        f"# Model card: {spec['name']}",
        "",
        f"Multi-task model of mptrec-tf {card['mptrec_tf']} on TensorFlow {card['tensorflow']}: "
        f"raw columns in, one {outputs} per task out.",
        "",
        f"Backbone `{card['backbone']}`, {card['backbone_parameters']:,} parameters, frozen.",
        "",
        "## Tasks",
        "",
        _format_row(columns),
        "|" + "---|" * len(columns),
    ]
    for task in card["tasks"]:
        rows, labels = _read_training_rows(task)
        of = tasks[task["name"]]
        score = task["metrics"].get(f"val_{of.score_key}")
        cells = (
            task["name"],
            task["kind"],
            " where ".join(filter(None, (of.describe_label(), of.describe_rows()))),
            *(_format_number(score if of.score_name == name else None) for name in scores),
            task["calibration"],
            "" if rows is None else f"{rows:,}",
            *(_format_statistic(labels[name]) if name in labels else "" for name in known),
            f"{task['parameters']:,}" if "parameters" in task else "",
        )
        lines.append(_format_row(cells))
    lines += ["", "## Features", "", "| column | input | type | domain |", "|---|---|---|---|"]
    for feature in card["features"]:
        name = feature["name"]
        # A feature of several columns has no input of its own.
        inputs = card["inputs"].get(name, "")
        domain = FEATURES.get(feature["kind"]).describe_domain(feature["domain"])
        lines.append(_format_row((name, inputs, feature["type"], domain)))
    return "\n".join(lines) + "\n"


def _read_training_rows(task: Mapping[str, Any]) -> tuple[int | None, Mapping[str, float]]:
    """Returns the number of training rows and the summary of their labels, see `Task.summary`."""
    split = task["training"].get("data", {}).get("splits", {}).get("train", {})
    labels = dict(split.get("tasks", {}).get(task["name"], {}))
    return labels.pop("rows", split.get("rows")), labels


def _format_statistic(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _format_row(cells: Sequence[str]) -> str:
    # A bar inside a cell would end it.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
