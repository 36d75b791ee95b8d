"""Trains a backbone and the heads of added tasks, fresh or from older ones, and counts the cost.

Each part is stored, so that a benchmark that was stopped continues.
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Mapping

import numpy as np

from mptrec_tf.artifacts.backbones import StoredBackbone, load_backbone, save_trained_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage, load_package, save_trained_package
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.tasks.slices import split_predictions
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.keras import keras
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.renewal.warm_head import find_warm_head
from mptrec_tf.renewal.warm_start import WarmStart
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.batches import evaluate_rows, load_rows
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig
from mptrec_tf.training.new_task import learn, predict_heads
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.representations import encode_task, select_task
from mptrec_tf.training.run_context import RunContext

BACKBONE = "backbone"


@dataclasses.dataclass(frozen=True)
class Generation:
    """A backbone and its heads.

    Attributes:
      backbone: The backbone.
      packages: The added tasks, by name.
      cost: Of each training, by `BACKBONE` and task: its CPU `seconds`, of all threads of this
        process, and its `epochs`.
    """

    backbone: StoredBackbone
    packages: Mapping[str, TaskPackage]
    cost: Mapping[str, Mapping[str, float]]

    def count_seconds(self) -> float:
        """Returns the CPU seconds of all trainings."""
        return sum(of["seconds"] for of in self.cost.values())


def train_generation(
    data: TrainingData,
    pretraining: PretrainingConfig,
    heads: Mapping[str, NewTaskConfig],
    directory: str,
    old: Generation | None = None,
) -> Generation:
    """Pre-trains a backbone and adds tasks to it, as `mptrec-refresh` does.

    Args:
      data: Prepared data.
      pretraining: The backbone and its training.
      heads: The heads of the tasks to add, by name.
      directory: Where all of it is stored; what is there is not trained again.
      old: Optional. What a warm start begins with.
    """
    path = f"{directory}/{BACKBONE}"
    if not os.path.exists(f"{path}.cost.json"):
        keras.backend.clear_session()
        shutil.rmtree(path, ignore_errors=True)
        context = RunContext(f"{path}.training", show_progress=False)
        start = time.process_time()
        warm = WarmStart(old.backbone, data) if old else None
        config = warm.shorten(pretraining) if warm else pretraining
        model, result = pretrain(data, config, context, begin=warm and warm.begin)
        cost = {"seconds": time.process_time() - start, "epochs": len(result.history)}
        record = pretraining.record()
        save_trained_backbone(path, model, data, record, result, context.directory)
        write_file(f"{path}.cost.json", json.dumps(cost))
    backbone = load_backbone(path)
    of_heads = train_heads(data, backbone, heads, directory, old)
    return dataclasses.replace(of_heads, cost={BACKBONE: _read(path), **of_heads.cost})


def train_heads(
    data: TrainingData,
    backbone: StoredBackbone,
    heads: Mapping[str, NewTaskConfig],
    directory: str,
    old: Generation | None = None,
) -> Generation:
    """Adds tasks to a backbone; the arguments are those of `train_generation`.

    They read the same representations, whose cost is divided among them.
    """
    packages = {}
    missing = [name for name in heads if not os.path.exists(f"{directory}/{name}.cost.json")]
    if missing:
        keras.backend.clear_session()
        start = time.process_time()
        context = RunContext(f"{directory}/encoded", show_progress=False)
        encoded = encode_task(PromptedMPTRec(backbone.model), data, missing, context)
        share = (time.process_time() - start) / len(missing)
    for name, config in heads.items():
        path = f"{directory}/{name}"
        if name in missing:
            shutil.rmtree(path, ignore_errors=True)
            context = RunContext(
                f"{path}.training", show_progress=False, fingerprint=backbone.fingerprint
            )
            start = time.process_time()
            rows, used, begin = select_task(encoded, missing, name), config, None
            packages_before = [*old.packages.values()] if old else []
            warm = old and find_warm_head(packages_before, name, config, old.backbone, backbone)
            if warm:
                used, begin = warm.shorten(config), warm.begin
            chosen, _ = learn(backbone.model, data, name, used, context, rows, begin)
            seconds = share + time.process_time() - start
            [task] = data.spec.select_tasks([name])
            settings = {"training": to_plain(chosen.training), "candidates": [], "compared": []}
            new, result = NewTask(task, chosen.head), chosen.result
            save_trained_package(path, new, backbone, data, settings, result, context.directory)
            cost = {"seconds": seconds, "epochs": len(result.history)}
            write_file(f"{path}.cost.json", json.dumps(cost))
        packages[name] = load_package(path, backbone)
    return Generation(backbone, packages, {name: _read(f"{directory}/{name}") for name in heads})


def _read(path: str) -> dict[str, float]:
    with open(f"{path}.cost.json", encoding="utf-8") as file:
        return json.load(file)


def predict(
    data: TrainingData, generation: Generation, split: str = "test"
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the predictions of all binary tasks for a split, and their labels, [n] by task."""
    backbone, added = generation.backbone, list(generation.packages)
    names = [*backbone.shape.tasks, *added]
    rows = load_rows(data, split, names)
    of_backbone = load_rows(data, split, backbone.shape.tasks)
    tasks = backbone.spec.select_tasks(backbone.shape.tasks)
    report, _, _ = evaluate_rows(Trainer(backbone.model, tasks), of_backbone)
    of_tasks = split_predictions(tasks, report["prediction"])
    predictions = {task.name: of for task, of in zip(tasks, of_tasks, strict=True)}
    for name, package in generation.packages.items():
        own = load_rows(data, split, [name])
        by_head, _, _ = predict_heads(backbone.model, package.task, {name: package.head}, own)
        predictions |= by_head
    labels = rows.columns[LABELS].numpy()
    return predictions, {name: labels[:, i] for i, name in enumerate(names)}
