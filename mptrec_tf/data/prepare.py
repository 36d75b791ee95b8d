"""Prepares a data set on Beam: raw rows to packed examples with labels.

One pipeline fits the preprocessing graph on the training rows, another one packs the rows of all
splits by it. No step of them waits for another one with rows in its hands, so that memory does not
depend on their number. Both work with every Beam runner: local, Flink, Spark or Dataflow.
"""

import dataclasses
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions

from mptrec_tf.data.arrow import make_lists, read_raw_features
from mptrec_tf.data.label_checks import check_any_label
from mptrec_tf.data.label_values import fit_label_values
from mptrec_tf.data.labels import has_task_weights, make_task_weights, make_weights
from mptrec_tf.data.pack_rows import BYPASS, PackRows, make_raw_config
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.prepared import (
    SUFFIXES,
    PreparedData,
    examples_prefix,
    save_description,
    transform_directory,
)
from mptrec_tf.data.reading import ReadRows
from mptrec_tf.data.row_counts import RowCounts, watch_rows
from mptrec_tf.data.row_files import FileGroup, WriteGroup, Written, plan_files, write_files
from mptrec_tf.data.runners import check_beam_args, raise_user_errors, use_all_cores
from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.sources.joining import join_rows
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import copy_graph, get_input_shapes, make_preprocessing_fn
from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import create_directory


def prepare(
    source: Source,
    output_dir: str,
    *,
    transform_dir: str | None = None,
    shards: int | None = None,
    compress: bool = False,
    beam_args: Sequence[str] = (),
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> PreparedData:
    """Reads every split of a source, fits the preprocessing on train, and writes packed examples.

    Training rows are read twice, to fit and to pack: held in between, they would have to fit in
    memory.

    Args:
      source: The raw rows.
      output_dir: A new directory. It is written atomically.
      transform_dir: A backbone's preprocessing graph to use instead of fitting one, for the data
        of a task to add to that backbone.
      shards: Files of each split. Defaults to one for each shard of the source, up to
        `row_files.MOST_FILES`.
      compress: Whether files are compressed: a fifth of the bytes, read a tenth slower.
      beam_args: The Beam runner's own flags.
      on_rows: Called, by another thread, with the rows that were read since its last call; see
        `count_reads`. Workers on other machines are not counted.

    Returns:
      The prepared data.

    Raises:
      InputError: for raw rows that do not fit the spec, an empty split, flags that the runner
        does not take, or a directory that already exists.

    Example:
      data = prepare(open_source("synthetic", rows=6_000), "prepared")
      data.splits["train"]["rows"]  # 6000
    """
    check_beam_args(beam_args)
    if transform_dir and not tf.io.gfile.isdir(transform_dir):
        raise InputError(f"there is no preprocessing graph in {transform_dir}.")
    with create_directory(output_dir) as staging:
        with watch_rows(on_rows) as counts, raise_user_errors():
            work = _Work(staging, beam_args, counts, count_reads(source))
            source = join_rows(source, work.joined, work.make_pipeline, counts)
            work = dataclasses.replace(work, shards=len(source.shards(SPLITS[0])))
            for split in SPLITS:
                _check_start(source, split)
            source = fit_label_values(source, staging, work.make_pipeline)
            if transform_dir:
                copy_graph(transform_dir, work.graph)
            else:
                _fit(work, source)
            prefixes = {split: examples_prefix(staging, split) for split in SPLITS}
            written = _pack(work, source, plan_files(source, prefixes, SUFFIXES[compress], shards))
        for directory in (work.joined, work.temporary):
            if tf.io.gfile.isdir(directory):
                tf.io.gfile.rmtree(directory)
        surveys = {split: of.survey.to_dict(source.spec) for split, of in written.items()}
        check_any_label(source.spec, surveys)
        shapes = get_input_shapes(source.spec, tft.TFTransformOutput(work.graph))
        spec = complete_spec(source.spec, surveys["train"])
        save_description(staging, spec, shapes, surveys, describe_split(source))
    return PreparedData(output_dir)


def count_reads(source: Source, *, fits: bool = True) -> int:
    """Returns an estimate of how many rows are read, for a progress bar.

    Args:
      source: The raw rows.
      fits: Whether a graph is fitted, for which the training rows are read once more. Rows that
        have to be joined are read once more, too.
    """
    rows = {split: source.estimated_rows(split) for split in SPLITS}
    again = (fits * rows[SPLITS[0]], hasattr(source, "join") * sum(rows.values()))
    return sum(rows.values()) + sum(again)


@dataclasses.dataclass(frozen=True)
class _Work:
    """A run that prepares data.

    Attributes:
      output: str. The directory of the prepared data.
      beam_args: The Beam runner's flags.
      counts: What counts the rows.
      rows: int. How many are read, as far as is known.
      shards: int. The parts of the training rows, if they are known.
      run: str. A name that no other run has.
    """

    output: str
    beam_args: Sequence[str]
    counts: RowCounts
    rows: int
    shards: int = sys.maxsize
    run: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def graph(self) -> str:
        return transform_directory(self.output)

    @property
    def joined(self) -> str:
        return f"{self.output}/joined-{self.run}"

    @property
    def temporary(self) -> str:
        return f"{self.output}/tmp-{self.run}"

    def make_pipeline(self) -> beam.Pipeline:
        args = use_all_cores(self.beam_args, self.rows, self.shards)
        return beam.Pipeline(options=PipelineOptions(args))


def _fit(work: _Work, source: Source) -> None:
    """Fits the preprocessing graph on the training rows and writes it."""
    spec, split = source.spec, SPLITS[0]
    with work.make_pipeline() as pipeline, tft_beam.Context(temp_dir=work.temporary):
        rows = (
            pipeline
            | "Shards" >> beam.Create(list(source.shards(split)))
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(ReadRows(source, split, make_record_batch, work.counts))
        )
        _ = (
            (rows, make_raw_config(spec, _list_bypassing(spec)))
            | "Fit" >> tft_beam.AnalyzeDataset(make_preprocessing_fn(spec))
            | "WriteGraph" >> tft_beam.WriteTransformFn(work.graph)
        )


def _pack(work: _Work, source: Source, files: Sequence[FileGroup]) -> dict[str, Written]:
    """Packs the rows of all splits by the graph, and writes them."""
    config = make_raw_config(source.spec, _list_bypassing(source.spec), work.graph)
    pack = PackRows(work.graph, config)
    return write_files(
        files,
        WriteGroup(source, make_record_batch, pack, work.temporary, work.counts),
        work.make_pipeline,
    )


def _list_bypassing(spec: DatasetSpec) -> dict[str, pa.DataType]:
    """Returns the types of the columns that bypass the preprocessing graph, by name."""
    columns = [LABELS, WEIGHT] if spec.weight else [LABELS]
    columns += [TASK_WEIGHTS] if has_task_weights(spec) else []
    return {BYPASS + name: pa.float32() for name in columns}


def _check_start(source: Source, split: str) -> None:
    """Checks the first rows of a split before a Beam runner is started."""
    blocks = (block for shard in source.shards(split) for block in source.read(shard))
    block = next(filter(len, blocks), None)
    if block is None:
        raise InputError(
            f"data set {source.spec.name!r} has no {split} rows; every split needs some."
        )
    make_record_batch(source.spec, block)


def make_record_batch(spec: DatasetSpec, block: Block, split: str = SPLITS[0]) -> pa.RecordBatch:
    """Checks n raw rows and returns them as Arrow columns: features, labels and weights.

    Args:
      spec: The data set's spec.
      block: The rows.
      split: The split that they belong to.

    Raises:
      InputError: for a missing column or a value that the spec does not allow, with its place.
    """
    arrays = read_raw_features(spec, block)
    labels = [task.labels(block, spec.missing_values) for task in spec.tasks]
    labels = np.stack(labels, axis=1)
    arrays[BYPASS + LABELS] = make_lists(pa.array(labels.ravel()), labels.shape[1])
    if spec.weight:
        arrays[BYPASS + WEIGHT] = make_lists(pa.array(make_weights(spec.weight, block)))
    if has_task_weights(spec):
        weights = make_task_weights(spec, block, labels, sampled=split == SPLITS[0])
        arrays[BYPASS + TASK_WEIGHTS] = make_lists(pa.array(weights.ravel()), weights.shape[1])
    if spec.user_id:
        block.check_single(spec.user_id)  # checks it for grouped metrics, which read the raw rows
    return pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))


def complete_spec(spec: DatasetSpec, survey: Mapping[str, Any]) -> DatasetSpec:
    """Returns a spec with what the training rows decide, from their survey.

    These are the types of columns whose tf.Examples had another type, and what tasks fit.
    """
    types = {name: of["types"][0] for name, of in survey["columns"].items() if of["types"]}
    tasks = tuple(task.fit(survey["tasks"][task.name]) for task in spec.tasks)
    return dataclasses.replace(spec, example_types=types, tasks=tasks)
