"""Begins the training of a new backbone with the weights of the one that it replaces.

Values that both vocabularies know keep their embeddings; a new value begins at the mean embedding
of its column's known values. Towers, prompts, gates and experts follow their tasks; those of a new
task are fresh. All other weights of the same shape are taken over as they are.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.graph import open_transform
from mptrec_tf.layers.embedding import PackedEmbedding
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.models.weights import set_named_weights
from mptrec_tf.training import loop
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig

# Of the epochs that a training from scratch takes, those of a warm start (`benchmarks/refresh.py`).
SHARE = 1 / 5
# Of the most epochs, those that a training takes at a constant learning rate, until it stops early.
_BEFORE_STOPPING = 1 / 2
_WARMUP_STEPS = 100
Meaning = tuple[str, str | int]
# How names of weights begin that have a part for each task.
_OF_TASKS = ("towers", "prompts", "gates", "experts")


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """What comes before the training of a new backbone: see `pretrain`'s `begin`.

    Attributes:
      old: The backbone that is replaced.
      data: What the new one is trained on.
    """

    old: StoredBackbone
    data: TrainingData

    def shorten(self, config: PretrainingConfig) -> PretrainingConfig:
        """Returns what is left of a training that begins with the old backbone's weights.

        A task that the old backbone does not have begins afresh, and takes the whole training.
        """
        if not {*config.tasks} <= {*self.old.shape.tasks}:
            return config
        return dataclasses.replace(config, training=shorten_training(config.training))

    def begin(self, job: loop.Job, *others) -> loop.Job:
        """Returns the same training, from the old backbone's weights."""
        del others

        def make_model() -> TrainedModel:
            trainer = job.make_model()
            set_named_weights(
                trainer.backbone, carry_weights(self.old, trainer.backbone, self.data)
            )
            return trainer

        settings = {**job.settings, "warm_start": self.old.fingerprint}
        return dataclasses.replace(job, make_model=make_model, settings=settings)


def shorten_training(training: TrainingConfig) -> TrainingConfig:
    """Returns a training of weights that are near their best: few epochs, the last ones slow.

    Early stopping needs `patience` epochs to find out that nothing is gained any more. A learning
    rate that falls to 0 ends by itself, and at weights that do not depend on the last batches.

    Example:
      >>> shorten_training(TrainingConfig(epochs=30)).epochs
      3
      >>> shorten_training(TrainingConfig(epochs=15, schedule="cosine")).epochs
      3
    """
    taken = training.epochs * (_BEFORE_STOPPING if training.schedule == "constant" else 1)
    return dataclasses.replace(
        training,
        epochs=math.ceil(taken * SHARE),
        schedule="cosine",
        warmup_steps=training.warmup_steps or _WARMUP_STEPS,
    )


def carry_weights(
    old: StoredBackbone, model: MultiTaskModel, data: TrainingData
) -> dict[str, np.ndarray]:
    """Returns the weights of a new model to begin with, by name.

    Args:
      old: The backbone that is replaced.
      model: The new model, with fresh weights.
      data: The prepared data that it is trained on.
    """
    fresh = {name: weight.numpy() for name, weight in model.named_weights().items()}
    known = {name: weight.numpy() for name, weight in old.model.named_weights().items()}
    before = list_table_meanings(old.model, old.spec, old.transform_dir)
    after = list_table_meanings(model, data.spec, data.transform_dir)
    values = dict(fresh)
    same_tasks = old.shape.tasks == model.shape.tasks
    for name in fresh.keys() & known.keys():
        if name in after:
            if same_tasks or model.tables == 1:
                values[name] = carry_rows(known[name], before[name], fresh[name], after[name])
        elif not same_tasks and name.startswith(_OF_TASKS):
            values[name] = _carry_tasks(name, known[name], fresh[name], old.shape, model.shape)
        elif known[name].shape == fresh[name].shape:
            values[name] = known[name]
    return values


def _carry_tasks(
    name: str, known: np.ndarray, fresh: np.ndarray, before: ModelShape, after: ModelShape
) -> np.ndarray:
    """Returns a weight whose rows (of gates, columns) are those of the same tasks in an old one."""
    if name.startswith("gates"):

        def split(kernel: np.ndarray, tasks: int) -> np.ndarray:
            return kernel.reshape(len(kernel), tasks, -1).swapaxes(0, 1)

        parts = split(known, len(before.tasks)), split(fresh, len(after.tasks))
        carried = carry_task_rows(*parts, before.tasks, after.tasks)
        return carried.swapaxes(0, 1).reshape(fresh.shape)
    own = getattr(after, "specific_experts", 0) if name.startswith("experts") else 0
    return carry_task_rows(known, fresh, before.tasks, after.tasks, own)


def carry_task_rows(
    known: np.ndarray,
    fresh: np.ndarray,
    before: Sequence[str],
    after: Sequence[str],
    own: int = 0,
) -> np.ndarray:
    """Returns a weight whose rows are those of the same tasks in an old one.

    Args:
      known: The old weight, with a row for each task after rows that all tasks share.
      fresh: The new weight, as it was initialised.
      before: The old tasks.
      after: The new tasks.
      own: How many rows each task has before those that all share, as PLE's experts; 0: as above.

    Example:
      >>> old, new = np.array([[1], [2], [3]]), np.zeros([4, 1], int)
      >>> carry_task_rows(old, new, ["click", "like"], ["like", "share", "buy"]).ravel()
      array([1, 3, 0, 0])
    """
    shared = len(known) - (own or 1) * len(before)
    other = shared < 0 or shared != len(fresh) - (own or 1) * len(after)
    if other or known.shape[1:] != fresh.shape[1:]:
        return known if known.shape == fresh.shape else fresh

    def list_places(tasks: Sequence[str]) -> list[tuple[str, int]]:
        of_tasks = [(task, i) for task in tasks for i in range(own or 1)]
        of_all = [("", i) for i in range(shared)]
        return of_tasks + of_all if own else of_all + of_tasks

    row_of = {place: row for row, place in enumerate(list_places(before))}
    carried = fresh.copy()
    for row, place in enumerate(list_places(after)):
        if place in row_of:
            carried[row] = known[row_of[place]]
    return carried


def list_table_meanings(
    model: MultiTaskModel, spec: DatasetSpec, transform_dir: str
) -> dict[str, list[Meaning]]:
    """Returns what each row of a model's embedding tables stands for, by the weight's name."""
    transform = open_transform(transform_dir)
    meanings = {}
    for of in model.shape.inputs:
        layer = model.embeddings.get(of.kind)
        if layer is None or not of.rows:
            continue
        kind, features = FEATURES.get(of.kind), spec.section(of.kind)
        ids = kind.id_meanings(spec, features, transform)
        ranges = {c: (first, n) for c, first, n in kind.id_ranges(spec, features, transform)}
        if isinstance(layer, PackedEmbedding):
            meanings[f"{layer.name}/table"] = ids
        else:
            for embedding, rows in zip(
                layer.embeddings, _split_tables(of, ids, ranges), strict=True
            ):
                meanings[f"{embedding.name}/table"] = rows
    return meanings


def list_column_meanings(spec: DatasetSpec, transform_dir: str) -> dict[int, list[Meaning]]:
    """Returns what the ids of each column stand for, by the columns of `get_id_ranges`."""
    transform, meanings, columns = open_transform(transform_dir), {}, 0
    for kind, features in spec.by_kind().items():
        if kind.packed_parts or not kind.rows(spec, features, transform):
            continue
        ids = kind.id_meanings(spec, features, transform)
        for column, first, count in kind.id_ranges(spec, features, transform):
            meanings[columns + column] = ids[first : first + count]
        columns += kind.columns(features)
    return meanings


def _split_tables(
    of: InputShape, ids: Sequence[Meaning], ranges: Mapping[int, tuple[int, int]]
) -> list[list[Meaning]]:
    """Returns what the rows of each table stand for, where features have several widths."""
    tables = []
    for table in of.tables:
        rows: list[Meaning] = [("", 0)] * table.rows
        for column, shift in zip(table.columns, table.shifts, strict=True):
            first, count = ranges[column]
            rows[first + shift : first + shift + count] = ids[first : first + count]
        tables.append(rows)
    return tables


def carry_rows(
    known: np.ndarray, before: Sequence[Meaning], fresh: np.ndarray, after: Sequence[Meaning]
) -> np.ndarray:
    """Returns a table whose rows are those of the same meaning in an old table.

    A row of a new meaning is the mean of its column's old rows; that of a new column stays as it
    is.

    Args:
      known: [n, width]. The old table.
      before: What its rows stand for.
      fresh: [m, width]. The new table, as it was initialised.
      after: What its rows stand for.

    Example:
      >>> old = np.array([[1.0], [3.0]]), [("city", "Bern"), ("city", "Thun")]
      >>> carry_rows(*old, np.zeros([3, 1]), [("city", "Thun"), ("city", "Biel"), ("day", 0)])
      array([[3.],
             [2.],
             [0.]])
    """
    if known.shape[1] != fresh.shape[1]:
        return fresh
    codes, columns = pd.factorize(np.array([column for column, _ in before], object))
    sums = np.zeros((len(columns), known.shape[1]))
    np.add.at(sums, codes, known)
    means = sums / np.bincount(codes)[:, np.newaxis]
    row_of = {meaning: row for row, meaning in enumerate(before)}
    column_of = {column: i for i, column in enumerate(columns)}
    rows = np.array([row_of.get(meaning, -1) for meaning in after])
    of_column = np.array([column_of.get(column, -1) for column, _ in after])
    begun = np.where(of_column[:, np.newaxis] < 0, fresh, means[of_column])
    return np.where(rows[:, np.newaxis] < 0, begun, known[rows]).astype(fresh.dtype)
