"""Finds the label values of the training rows, for tasks whose labels depend on them.

Most tasks make a label of a value alone. Others have to know all values first: the place of a class
among all classes, for example. For such tasks the training rows are read once more, before
everything else, and only they.
"""

import copy
import dataclasses
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import apache_beam as beam
import numpy as np
import tensorflow as tf

from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.label_survey import drop_rarest


def fit_label_values(
    source: Source, directory: str, make_pipeline: Callable[[], beam.Pipeline]
) -> Source:
    """Returns a source whose tasks know the label values of its training rows.

    Args:
      source: Raw rows. It is returned as it is if no task needs values, see `Task.needs_values`.
      directory: An existing directory for a temporary file, which all workers can write.
      make_pipeline: Makes the pipeline that reads the rows.

    Raises:
      InputError: for values that do not fit a task, or rows that cannot be read.
    """
    tasks = [task for task in source.spec.tasks if task.needs_values]
    if not tasks:
        return source
    path = f"{directory}/label-values-{uuid.uuid4().hex[:8]}.json"
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "LabelShards" >> beam.Create(list(source.shards("train")))
            | "SpreadLabels" >> beam.Reshuffle()
            | "ReadLabels" >> beam.ParDo(_Count(source, tasks))
            | "MergeLabels" >> beam.CombineGlobally(_Merge())
            | "LabelsJson" >> beam.Map(json.dumps)
            | "WriteLabels" >> beam.io.WriteToText(path, shard_name_template="")
        )
    with tf.io.gfile.GFile(path) as file:
        counted = json.load(file)
    tf.io.gfile.remove(path)
    fitted = {task.name: task.fit_values(counted.get(task.name, {})) for task in tasks}
    found = copy.copy(source)
    found.spec = dataclasses.replace(
        source.spec, tasks=tuple(fitted.get(task.name, task) for task in source.spec.tasks)
    )
    return found


def count_label_values(task: Task, spec: DatasetSpec, block: Block) -> Counter:
    """Returns the rows of a block by label value; rows without a label are left out.

    Values are in the form in which the task compares them. Missing ones are rejected later, with
    their place.
    """
    rows = task.has_label(block, spec.missing_values)
    if not rows.any():
        return Counter()
    counts = Counter()
    labelled = block if rows.all() else block.rows(rows)
    values, codes = labelled.distinct(task.label)
    for value, count in zip(values, np.bincount(codes).tolist(), strict=True):
        if not task.is_missing_label(value, spec.missing_values):
            counts[task.form(value)] += count
    return counts


class _Count(beam.DoFn):
    """Counts the label values of the blocks of a shard."""

    def __init__(self, source: Source, tasks: Iterable[Task]):
        self._source = source
        self._tasks = list(tasks)

    def process(self, element) -> Iterator[dict[str, Counter]]:
        for block in filter(len, self._source.read(element)):
            spec = self._source.spec
            yield {task.name: count_label_values(task, spec, block) for task in self._tasks}


class _Merge(beam.CombineFn):
    """Adds counts by task; of very many values, the most frequent stay."""

    def create_accumulator(self):
        return {}

    def add_input(self, accumulator, counts):
        for task, of_task in counts.items():
            mine = accumulator.setdefault(task, Counter())
            mine.update(of_task)
            drop_rarest(mine)
        return accumulator

    def merge_accumulators(self, accumulators):
        merged = {}
        for accumulator in accumulators:
            merged = self.add_input(merged, accumulator)
        return merged

    def extract_output(self, accumulator):
        return accumulator
