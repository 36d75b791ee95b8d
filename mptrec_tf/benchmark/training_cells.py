"""What the cells of a benchmark do that prepare rows, train models and add tasks."""

import copy
import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, make_training_record, save_backbone
from mptrec_tf.artifacts.task_packages import save_package
from mptrec_tf.benchmark.cells import AddTask, Prepare, Train
from mptrec_tf.benchmark.flops import count_flops, count_step_flops, make_specs
from mptrec_tf.benchmark.place import Place, remove
from mptrec_tf.data.packed import LABELS, ROW, WEIGHT
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.errors import InputError
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.trainer import Plan, Trainer
from mptrec_tf.models.weights import count_parameters
from mptrec_tf.storage.arrays import save_arrays
from mptrec_tf.storage.directories import create_directory
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training import loop
from mptrec_tf.training.batches import (
    Rows,
    evaluate_rows,
    load_rows,
    make_memory_rows,
    make_ordered_batches,
)
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig
from mptrec_tf.training.meta_learning import MetaLearning, can_learn
from mptrec_tf.training.new_task import Candidate, learn, predict_heads
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.representations import encode_rows
from mptrec_tf.training.run_context import RunContext
from mptrec_tf.training.statistics import compute_statistics

SHOWN_ROWS = 500  # test rows whose representations are saved for figures
SCORED = ("validation", "test")


def prepare_rows(cell: Prepare, place: Place) -> dict[str, Any]:
    """Prepares the rows, and saves the test rows' labels."""
    directory = place.data(cell)
    if not os.path.exists(directory):
        prepare(place.source.open(cell.tasks), directory)
    data = PreparedData(directory)
    names = data.spec.task_names
    # Reads every file, so that a task that cannot be learnt is found before any training.
    batches = list(make_ordered_batches(load_rows(data, "test", names)))
    labels = np.concatenate([batch[LABELS] for batch in batches])
    arrays = {f"label/{name}": labels[:, i] for i, name in enumerate(names)}
    if WEIGHT in batches[0]:
        arrays["weight"] = np.concatenate([batch[WEIGHT] for batch in batches])
    save_arrays(place.arrays(cell), arrays)
    return {
        "data": _describe_data(data),
        "features": len(data.spec.features),
        "tasks": {task.name: task.to_plain() for task in data.spec.tasks},
    }


def _describe_data(data: PreparedData) -> dict[str, Any]:
    return {
        "name": data.spec.name,
        "preprocessing": fingerprint_transform(data.transform_dir),
        "splits": data.splits,
    }


def train_model(cell: Train, place: Place) -> dict[str, Any]:
    """Trains a model, scores it on the validation and test rows, and counts its operations."""
    data = PreparedData(place.data(cell.data))
    config, tuned = _make_config(cell, place)
    rows = {s: load_rows(data, s, cell.tasks) for s in ("train", *SCORED)}
    if cell.share < 1:
        rows["train"] = take_share(rows["train"], cell.share, cell.seed)
        data = describe_share(data, cell.tasks, rows["train"])
    context = RunContext(place.work(cell), title=cell.title)
    meta = _make_meta_learning(cell, data) if cell.meta_tasks else None
    if cell.trained:
        model, result = pretrain(
            data, config, context, (rows["train"], rows["validation"]), meta and meta.begin
        )
        training = _summarize_training(result, config.training, rows["train"])
    else:
        loop.seed_everything(cell.seed)
        model = MODELS.get(cell.model).make(config.make_shape(data))
        model.set_statistics(compute_statistics(model, rows["train"]))
        result, training = None, {"steps": 0, "seconds": 0.0, "epochs": 0, "history": []}
    tasks = data.spec.select_tasks(cell.tasks)
    arrays, scores = {}, {}
    for split in SCORED:
        predicted, scores[split] = _score_model(model, tasks, rows[split])
        if split == "test":
            arrays |= {f"prediction/{name}": values for name, values in predicted.items()}
    if cell.keep:
        remove([place.backbone(cell)])  # of a process that was killed before its result
        with create_directory(place.backbone(cell)) as staging:
            record = make_training_record(data, result) if result else {"history": []}
            save_backbone(
                staging, model, data.spec, data.transform_dir, {**config.record(), **record}
            )
        arrays |= _show_representations(model, rows["test"])
    save_arrays(place.arrays(cell), arrays)
    flops, unseen = _count_training_flops(config, data, rows["train"])
    total = flops * training["steps"]
    if meta:
        first = _summarize_training(meta.result, config.training, meta.train)
        of_first, more = _count_meta_flops(meta, model, config.training)
        total, unseen = total + of_first * first["steps"], sorted({*unseen, *more})
        seconds = training["seconds"], first["seconds"]
        training["seconds"] = None if None in seconds else sum(seconds)
    weights = model.named_weights().values()
    return {
        "model": cell.model,
        "settings": {**config.record(), "shape": to_plain(model.shape)},
        "tuned": tuned,
        "data": _describe_data(data),
        "scores": scores,
        "parameters": count_parameters(model.parameters),
        "joint_parameters": model.joint_parameters(1),
        "bytes": sum(weight.numpy().nbytes for weight in weights),
        "flops_per_step": flops,
        "flops": total,
        "flops_not_counted": unseen,
        **training,
    }


def _make_meta_learning(cell: Train, data: PreparedData) -> MetaLearning:
    """Returns how first weights are learnt: by those of the tasks that MAML can learn, if any."""
    tasks = data.spec.select_tasks(cell.meta_tasks)
    tasks = [task for task in tasks if can_learn(task)] or tasks
    names = [task.name for task in tasks]
    rows = [load_rows(data, split, names) for split in ("train", "validation")]
    return MetaLearning(tasks, *rows)


def _count_meta_flops(
    meta: MetaLearning, model: MultiTaskModel, config: TrainingConfig
) -> tuple[int, list[str]]:
    """Counts the operations of one step of what comes before a new task's own network."""
    learner = meta.make_learner(model.shape)
    loop.compile_model(learner, config, meta.train.steps(config.batch_size))
    return count_step_flops(learner, _first_batch(meta.train), config.batch_size)


def _make_config(cell: Train, place: Place) -> tuple[PretrainingConfig, dict[str, Any] | None]:
    """Returns the configuration, and how it was chosen; what the cell sets comes before trials."""
    shape, losses, training, tuned = {}, {}, {}, None
    if cell.trials:
        scores = {t.key: sum(place.read(t)["scores"]["validation"].values()) for t in cell.trials}
        best = max(cell.trials, key=lambda trial: scores[trial.key])
        shape, losses, training = dict(best.shape), dict(best.losses), dict(best.training)
        tuned = {
            "budget": len(cell.trials),
            "winner": best.variant,
            "tried": {t.variant: scores[t.key] for t in cell.trials},
        }
    config = PretrainingConfig(
        cell.tasks,
        cell.model,
        shape | dict(cell.shape),
        losses | dict(cell.losses),
        TrainingConfig(**(training | dict(cell.training) | {"seed": cell.seed})),
    )
    return config, tuned


def _summarize_training(
    result: loop.Training, config: TrainingConfig, rows: Rows
) -> dict[str, Any]:
    """Returns the length and the course of a training.

    A process that continued a training knows only its own seconds: those of all steps are
    estimated from them.
    """
    steps = len(result.history) * rows.steps(config.batch_size)
    resumed = result.steps < steps
    known = result.steps > 0
    return {
        "steps": steps,
        "epochs": len(result.history),
        "best_epoch": result.best_epoch + 1,
        "seconds": result.seconds * steps / result.steps if known else None,
        "resumed": resumed,
        "history": [dict(logs) for logs in result.history],
    }


def take_share(rows: Rows, share: float, seed: int) -> Rows:
    """Returns a share of rows, drawn anew for each seed, in their stored order.

    Raises:
      InputError: if the rows are not in memory.
    """
    if rows.columns is None:
        raise InputError(
            f"{rows.count:,} training rows do not fit in memory, and fewer labels are drawn from "
            "rows in memory; give fewer rows."
        )
    order = np.random.default_rng(seed).permutation(rows.count)
    chosen = np.sort(order[: max(1, round(share * rows.count))])
    columns = {k: tf.gather(v, chosen) for k, v in rows.columns.items() if k != ROW}
    return make_memory_rows(columns)


def describe_share(data: PreparedData, tasks: Sequence[str], rows: Rows) -> PreparedData:
    """Returns prepared data that say how many of its training rows have labels of some tasks."""
    counts = dict(data.splits["train"]["tasks"])
    labels = np.asarray(rows.columns[LABELS])
    for i, task in enumerate(tasks):
        known = labels[:, i][~np.isnan(labels[:, i])]
        changed = {"positives": int(known.sum()), "rows": len(known)}
        counts[task] |= {k: v for k, v in changed.items() if k in counts[task]}
    fewer = copy.copy(data)
    fewer.splits = {**data.splits, "train": {"rows": rows.count, "tasks": counts}}
    return fewer


def _score_model(
    model: MultiTaskModel, tasks: Sequence[Task], rows: Rows
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Returns predictions [n] and scores by task."""
    report, labels, weight = evaluate_rows(Trainer(model, tasks), rows)
    predicted = {task.name: report["prediction"][:, i] for i, task in enumerate(tasks)}
    return predicted, {
        task.name: task.score(*drop_unlabelled(labels[:, i], predicted[task.name], weight))
        for i, task in enumerate(tasks)
    }


def _show_representations(model: MultiTaskModel, rows: Rows) -> dict[str, np.ndarray]:
    """Returns representations [n, R, H] and prompts [P, H] for figures."""
    batch = next(iter(rows.windows(None, SHOWN_ROWS)))
    encoded = model.encode({k: v[:SHOWN_ROWS] for k, v in batch.items()})
    together = tf.concat([encoded.shared, encoded.specific], axis=0)
    return {
        "representations": tf.transpose(together, [1, 0, 2]).numpy(),
        "shared": np.array(model.layout.shared),
        "prompts": model.prompts_of_tasks().numpy(),
    }


def _first_batch(rows: Rows) -> Mapping[str, tf.Tensor]:
    return rows.columns or next(iter(rows.windows(None, 1)))


def _count_training_flops(
    config: PretrainingConfig, data: PreparedData, rows: Rows
) -> tuple[int, list[str]]:
    """Counts the operations of one step of pre-training."""
    kind, training = MODELS.get(config.model), config.training
    steps = rows.steps(training.batch_size)
    plan = Plan(training.epochs * steps, rows.count)
    tasks = data.spec.select_tasks(config.tasks)
    model = kind.make(config.make_shape(data))
    trainer = kind.make_trainer(model, tasks, config.make_losses(), plan)
    loop.compile_model(trainer, training, steps)
    return count_step_flops(trainer, _first_batch(rows), training.batch_size)


def add_task(cell: AddTask, place: Place) -> dict[str, Any]:
    """Adds a task to a saved model, scores its head, and checks that old tasks stay as they are."""
    data = PreparedData(place.data(cell.backbone.data))
    stored = load_backbone(place.backbone(cell.backbone))
    rows = {s: load_rows(data, s, [cell.task]) for s in ("train", *SCORED)}
    if cell.share < 1:
        rows["train"] = take_share(rows["train"], cell.share, cell.seed)
        data = describe_share(data, [cell.task], rows["train"])
    [task] = data.spec.select_tasks([cell.task])
    old = stored.spec.select_tasks(stored.shape.tasks)
    old_rows = load_rows(data, "test", stored.shape.tasks)
    before, _ = _score_model(stored.model, old, old_rows)
    work = place.work(cell)
    start = time.monotonic()
    model = PromptedMPTRec(stored.model)
    encoded = {s: encode_rows(model, part, f"{work}/{s}") for s, part in rows.items()}
    encoding = time.monotonic() - start
    config = NewTaskConfig(cell.head, training={**cell.training, "seed": cell.seed})
    context = RunContext(work, title=cell.title, fingerprint=stored.fingerprint)
    chosen, candidates = learn(
        stored.model, data, cell.task, config, context, (encoded["train"], encoded["validation"])
    )
    by_head, labels, weight = predict_heads(
        stored.model, task, {chosen.kind: chosen.head}, encoded["test"]
    )
    predicted = by_head[chosen.kind]
    after, _ = _score_model(stored.model, old, old_rows)
    arrays = {f"prediction/{cell.task}": predicted}
    prompt = getattr(chosen.head, "prompt", None)
    if hasattr(prompt, "prompts"):
        arrays["prompt"] = prompt.prompts.numpy()
    save_arrays(place.arrays(cell), arrays)
    # Encoding, and each run once: candidates with the same recipe are trained side by side.
    encode_flops = _count_encoding_flops(model, rows["train"])
    runs = {c.run: _summarize_training(c.result, c.training, rows["train"]) for c in candidates}
    seconds = [run["seconds"] for run in runs.values()]
    training = runs[chosen.run]
    by_candidate = {
        c.kind: _count_head_flops(model.backbone, task, c, encoded["train"]) for c in candidates
    }
    flops = sum(by_candidate[c.kind][0] * runs[c.run]["steps"] for c in candidates)
    return {
        "model": cell.backbone.model,
        "head": cell.head,
        "chosen": chosen.kind,
        "candidates": [c.row() for c in candidates],
        "settings": {
            "head": to_plain(chosen.head.config),
            "training": to_plain(chosen.training),
            "backbone": stored.fingerprint,
        },
        "data": _describe_data(data),
        "scores": {
            "validation": {cell.task: chosen.score},
            "test": {cell.task: task.score(*drop_unlabelled(labels, predicted, weight))},
        },
        "parameters": chosen.parameters,
        "joint_parameters": stored.model.joint_parameters(1),
        "bytes": _measure_package(task, chosen, stored.fingerprint, work),
        "flops_per_step": by_candidate[chosen.kind][0],
        "flops_encoding": encode_flops[0],
        "flops": flops + encode_flops[0],
        "flops_not_counted": sorted(
            {*encode_flops[1], *(name for _, names in by_candidate.values() for name in names)}
        ),
        "old_tasks_unchanged": all(np.array_equal(before[name], after[name]) for name in before),
        **training,
        "seconds": None if None in seconds else sum(seconds) + encoding,
        "seconds_encoding": encoding,
    }


def _count_encoding_flops(model: PromptedMPTRec, rows: Rows) -> tuple[int, list[str]]:
    """Counts the operations of encoding all training rows once."""
    backbone, batch = model.backbone, 256

    def encode(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        encoded = backbone.encode(features)
        return backbone.layout.pack(encoded, backbone.predict_logits(encoded))

    columns = {k: v for k, v in _first_batch(rows).items() if k not in (LABELS, WEIGHT, ROW)}
    flops, unseen = count_flops(encode, make_specs(columns, batch))
    return round(flops / batch * rows.count), unseen


def _count_head_flops(
    backbone: MultiTaskModel, task: Task, candidate: Candidate, rows: Rows
) -> tuple[int, list[str]]:
    """Counts the operations of one step of a head's training."""
    model = PromptedMPTRec(backbone)
    model.add_task(task, candidate.head.config)
    loop.compile_model(model, candidate.training, rows.steps(candidate.training.batch_size))
    return count_step_flops(model, _first_batch(rows), candidate.training.batch_size)


def _measure_package(task: Task, chosen: Candidate, fingerprint: str, work: str) -> int:
    """Returns the bytes of the task's package, without TensorBoard's logs."""
    directory = os.path.join(work, "package")
    remove([directory])
    os.makedirs(directory)
    record = {"training": to_plain(chosen.training), **dataclasses.asdict(chosen.result)}
    kept = ("training", "history", "best_epoch", "seconds", "calibration")
    save_package(directory, task, chosen.head, fingerprint, {k: to_plain(record[k]) for k in kept})
    return sum(entry.stat().st_size for entry in os.scandir(directory))
