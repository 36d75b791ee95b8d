"""What a version says of itself: `assets.extra/model_card.json`, and the same in Markdown."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

import mptrec_tf
from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.input_names import input_names
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import Task
from mptrec_tf.data.transform.graph import Preprocessing
from mptrec_tf.data.transform.numeric_domains import numeric_domains
from mptrec_tf.data.transform.vocabulary import vocabulary_values
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.export.versions import CARD, CARD_TO_READ
from mptrec_tf.models.heads.registry import to_plain
from mptrec_tf.models.weights import count
from mptrec_tf.storage.directories import write_file

# Of a vocabulary that is larger, the card says the size and the most frequent values alone.
MOST_VALUES = 50
# What the card calls a missing value where it is known.
MISSING_SHOWN = "(missing)"


def write_card(
    directory: str,
    backbone: StoredBackbone,
    packages: Sequence[TaskPackage],
    preprocessing: Preprocessing,
) -> None:
    """Writes both files into a version's directory."""
    card = model_card(backbone, packages, preprocessing)
    tf.io.gfile.makedirs(os.path.dirname(os.path.join(directory, CARD)))
    write_file(os.path.join(directory, CARD), to_json(card))
    write_file(os.path.join(directory, CARD_TO_READ), to_markdown(card))


def model_card(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], preprocessing: Preprocessing
) -> dict[str, Any]:
    """Returns tasks, features, fingerprint, metrics, training data and versions, as plain data.

    Args:
      backbone: The backbone.
      packages: The tasks that were added.
      preprocessing: The backbone's preprocessing graph.
    """
    old = backbone.spec.select_tasks(backbone.shape.tasks)
    tasks = [_task(task, "pre-trained", backbone.training) for task in old]
    for package in packages:
        own = {
            "head": to_plain(package.head.config),
            "parameters": count(package.head.trainable_weights),
        }
        tasks.append(_task(package.task, "added", package.training) | own)
    every = (*old, *(package.task for package in packages))
    return {
        "mptrec_tf": mptrec_tf.__version__,
        "tensorflow": tf.__version__,
        "backbone": backbone.fingerprint,
        "backbone_parameters": count(backbone.model.parameters),
        "spec": json.loads(dataclasses.replace(backbone.spec, tasks=every).to_json()),
        "inputs": input_names(raw_feature_spec(backbone.spec)),
        "features": _features(backbone, preprocessing),
        "tasks": tasks,
    }


def _task(task: Task, kind: str, training: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": kind,
        "metrics": _metrics(task.name, training),
        "training": training,
    }


def _metrics(task: str, training: Mapping[str, Any]) -> dict[str, float]:
    """What the training's best epoch says of a task, as "val_auc" and "loss"."""
    if not training.get("history"):
        return {}
    best = training["history"][training["best_epoch"]]
    ending = f"/{task}"
    return {name.removesuffix(ending): v for name, v in best.items() if name.endswith(ending)}


def _features(backbone: StoredBackbone, preprocessing: Preprocessing) -> list[dict[str, Any]]:
    """Each feature's type and domain."""
    spec = backbone.spec
    known = {}
    if any(feature.hash_buckets is None for feature in spec.categorical):
        known = vocabulary_values(tft.TFTransformOutput(backbone.transform_dir))
    found = []
    for feature in spec.categorical:
        if feature.hash_buckets is not None:
            domain = {"hash_buckets": feature.hash_buckets}
        else:
            values = known[feature.name][:-1]  # the last one stands for all others
            shown = [MISSING_SHOWN if v == MISSING else v for v in values[:MOST_VALUES]]
            domain = {"known_values": len(values), "values": shown}
        found.append({"name": feature.name, "type": "text", "domain": domain})
    domains = numeric_domains(spec, preprocessing)
    for feature in spec.numeric:
        domain = {"finite": True, "scale": feature.scale, **domains[feature.name]}
        found.append({"name": feature.name, "type": "number", "domain": domain})
    return found


def to_markdown(card: Mapping[str, Any]) -> str:
    """Returns a card for people."""
    spec = card["spec"]
    labels = {task["name"]: task for task in spec["tasks"]}
    lines = [
        f"# Model card: {spec['name']}",
        "",
        f"Multi-task model of mptrec-tf {card['mptrec_tf']} on TensorFlow {card['tensorflow']}: "
        "raw columns in, one probability per task out.",
        "",
        f"Backbone `{card['backbone']}`, {card['backbone_parameters']:,} parameters, frozen.",
        "",
        "## Tasks",
        "",
        "| task | kind | label | validation AUC | training rows | positives | own parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in card["tasks"]:
        rows, positives = _trained_on(task)
        cells = (
            task["name"],
            task["kind"],
            _label(labels[task["name"]]),
            _number(task["metrics"].get("val_auc")),
            rows,
            positives,
            f"{task['parameters']:,}" if "parameters" in task else "",
        )
        lines.append(_row(cells))
    lines += ["", "## Features", "", "| column | input | type | domain |", "|---|---|---|---|"]
    for feature in card["features"]:
        name = feature["name"]
        lines.append(_row((name, card["inputs"][name], feature["type"], _domain(feature))))
    return "\n".join(lines) + "\n"


def _trained_on(task: Mapping[str, Any]) -> tuple[str, str]:
    split = task["training"].get("data", {}).get("splits", {}).get("train", {})
    positives = split.get("positives", {}).get(task["name"])
    rows = split.get("rows")
    return tuple("" if value is None else f"{value:,}" for value in (rows, positives))


def _label(task: Mapping[str, Any]) -> str:
    if task.get("above") is not None:
        return f"{task['label']} > {task['above']:g}"
    return f"{task['label']} is {' or '.join(task['positive'])}"


def _domain(feature: Mapping[str, Any]) -> str:
    domain = feature["domain"]
    if "hash_buckets" in domain:
        return f"any text, hashed to {domain['hash_buckets']:,}"
    if "known_values" in domain:
        return f"any text, {domain['known_values']:,} values known"
    if "constant" in domain:
        return "any finite number; the same in all training rows, and not read"
    if "low" in domain:
        return f"{domain['low']:.9g} to {domain['high']:.9g}; finite numbers beyond count as these"
    what = "log(1 + |v|) with its sign" if domain["scale"] == "log" else "in the training rows"
    return f"any finite number; {what}: mean {domain['mean']:.4g} ± {domain['deviation']:.4g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _row(cells: Sequence[str]) -> str:
    # A bar inside a cell would end it.
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
