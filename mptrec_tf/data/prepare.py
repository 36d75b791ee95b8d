"""Prepares a data set on Beam: raw rows to packed examples with labels, in one pipeline.

Works with every Beam runner: local, Flink, Spark or Dataflow.
"""

import contextlib
import dataclasses
import io
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners import create_runner
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio
from tfx_bsl.tfxio import tensor_representation_util

from mptrec_tf.data import reading
from mptrec_tf.data.arrow import make_lists, read_raw_features, serialize_rows
from mptrec_tf.data.features.base import NUMBER, NUMBERS, TEXT, TEXTS
from mptrec_tf.data.label_checks import check_any_label
from mptrec_tf.data.label_values import fit_label_values
from mptrec_tf.data.labels import has_task_weights, make_task_weights, make_weights
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.prepared import (
    PreparedData,
    examples_prefix,
    save_description,
    transform_directory,
)
from mptrec_tf.data.reading import read_split, read_summary
from mptrec_tf.data.sources.block import SPLITS, Block, Source, join_rows
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import (
    get_input_shapes,
    has_schema,
    make_preprocessing_fn,
    make_raw_metadata,
    schema_directory,
)
from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import copy_directory, create_directory

_STEP_NOTE = re.compile(r"\s*\[while running .*", re.DOTALL)
# Prefix of columns that bypass the preprocessing graph; a feature's name never has a tab.
_BYPASS = "\t"


def prepare(
    source: Source,
    output_dir: str,
    *,
    transform_dir: str | None = None,
    beam_args: Sequence[str] = (),
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> PreparedData:
    """Reads every split of a source, fits the preprocessing on train, and writes packed examples.

    Args:
      source: The raw rows.
      output_dir: A new directory. It is written atomically.
      transform_dir: A backbone's preprocessing graph to use instead of fitting one, for the data
        of a task to add to that backbone.
      beam_args: The Beam runner's own flags.
      on_rows: Called with the number of rows of each block, if the runner works in this process.

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
        run = uuid.uuid4().hex[:8]
        reading.on_rows[run] = on_rows
        joined = f"{staging}/joined-{run}"

        def make_pipeline() -> beam.Pipeline:
            return beam.Pipeline(options=PipelineOptions(list(beam_args)))

        try:
            source = join_rows(source, joined, make_pipeline)
            for split in SPLITS:
                _check_start(source, split)
            source = fit_label_values(source, staging, make_pipeline)
            _run(run, source, staging, transform_dir, beam_args)
        except Exception as error:
            user_error = find_user_error(error)
            if user_error is None:
                raise
            raise user_error from error
        finally:
            del reading.on_rows[run]
        if tf.io.gfile.isdir(joined):
            tf.io.gfile.rmtree(joined)
        surveys = {split: read_summary(_survey_file(staging, split)) for split in SPLITS}
        check_any_label(source.spec, surveys)
        shapes = get_input_shapes(source.spec, tft.TFTransformOutput(transform_directory(staging)))
        spec = complete_spec(source.spec, surveys["train"])
        save_description(staging, spec, shapes, surveys, describe_split(source))
    return PreparedData(output_dir)


def check_beam_args(beam_args: Sequence[str]) -> None:
    """Rejects flags that Beam or its runner would fail on or ignore.

    Raises:
      InputError: naming the flag.
    """
    options = PipelineOptions(list(beam_args))
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):  # argparse prints its message before it exits
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        message = stderr.getvalue().strip().rpartition("error: ")[2]
        raise InputError(
            f"Beam does not take the flags {' '.join(beam_args)}: {message}."
        ) from error
    runner = options.view_as(StandardOptions).runner
    try:
        create_runner(runner or "DirectRunner")
    except (ValueError, ImportError, AttributeError) as error:
        raise InputError(f"Beam cannot use --runner={runner}: {error}") from error
    # Other runners may pass a flag that Beam does not know to a job server that does.
    unknown = sorted(given.keys() - PipelineOptions([]).get_all_options().keys())
    if unknown and runner in (None, "DirectRunner"):
        raise InputError(f"unknown flag --{unknown[0]}: neither this program nor Beam has it.")


def _check_start(source: Source, split: str) -> None:
    """Checks the first rows of a split before a Beam runner is started."""
    blocks = (block for shard in source.shards(split) for block in source.read(shard))
    block = next(filter(len, blocks), None)
    if block is None:
        raise InputError(
            f"data set {source.spec.name!r} has no {split} rows; every split needs some."
        )
    make_record_batch(source.spec, block)


def _run(
    run: str, source: Source, output: str, transform_dir: str | None, beam_args: Sequence[str]
) -> None:
    spec = source.spec
    raw_config = _make_raw_config(spec, transform_dir)
    passthrough = {name for name, _ in _list_passthrough(spec)}
    temporary = f"{output}/tmp-{run}"
    with (
        beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline,
        tft_beam.Context(temp_dir=temporary, passthrough_keys=passthrough),
    ):
        batches = {}
        for split in SPLITS:
            batches[split], survey = read_split(pipeline, source, split, make_record_batch, run)
            _ = (
                survey
                | f"Json/{split}" >> beam.Map(json.dumps)
                | f"WriteSurvey/{split}"
                >> beam.io.WriteToText(_survey_file(output, split), shard_name_template="")
            )
        if transform_dir:
            transform = pipeline | "Graph" >> tft_beam.ReadTransformFn(transform_dir)
        else:
            transform = (batches["train"], raw_config) | "Fit" >> tft_beam.AnalyzeDataset(
                make_preprocessing_fn(spec)
            )
        _ = transform | "WriteGraph" >> tft_beam.WriteTransformFn(transform_directory(output))
        for split in SPLITS:
            packed, _ = ((batches[split], raw_config), transform) | (
                f"Transform/{split}" >> tft_beam.TransformDataset(output_record_batches=True)
            )
            _ = (
                packed
                | f"Encode/{split}" >> beam.ParDo(_Encode())
                | f"Write/{split}"
                >> beam.io.WriteToTFRecord(
                    examples_prefix(output, split), file_name_suffix=".tfrecord"
                )
            )
    if transform_dir and has_schema(transform_dir):
        copy_directory(
            schema_directory(transform_dir), schema_directory(transform_directory(output))
        )
    if tf.io.gfile.exists(temporary):  # a given graph needs none
        tf.io.gfile.rmtree(temporary)


def _make_raw_config(spec: DatasetSpec, transform_dir: str | None) -> tfxio.TensorAdapterConfig:
    """Returns how TensorFlow Transform reads the features of a `make_record_batch`."""
    values = dict.fromkeys((TEXT, TEXTS), pa.large_binary())
    values |= dict.fromkeys((NUMBER, NUMBERS), pa.float32())
    kinds = {name: values[feature.raw_type(spec)] for name, feature in spec.raw_columns.items()}
    kinds |= dict(_list_passthrough(spec))
    fields = [(name, pa.large_list(kind)) for name, kind in kinds.items()]
    names = set(spec.feature_names)
    schema = make_raw_metadata(spec).schema
    if transform_dir and has_schema(transform_dir):
        given = tft.TFTransformOutput(transform_dir).raw_metadata.schema
        schema = schema_pb2.Schema(feature=[f for f in given.feature if f.name in names])
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
    return tfxio.TensorAdapterConfig(pa.schema(fields), representations)


def _list_passthrough(spec: DatasetSpec) -> list[tuple[str, pa.DataType]]:
    """Returns names and types of the columns that bypass the preprocessing graph."""
    columns = [LABELS, WEIGHT] if spec.weight else [LABELS]
    columns += [TASK_WEIGHTS] if has_task_weights(spec) else []
    return [(_BYPASS + name, pa.float32()) for name in columns]


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
    arrays[_BYPASS + LABELS] = make_lists(pa.array(labels.ravel()), labels.shape[1])
    if spec.weight:
        arrays[_BYPASS + WEIGHT] = make_lists(pa.array(make_weights(spec.weight, block)))
    if has_task_weights(spec):
        weights = make_task_weights(spec, block, labels, sampled=split == SPLITS[0])
        arrays[_BYPASS + TASK_WEIGHTS] = make_lists(pa.array(weights.ravel()), weights.shape[1])
    if spec.user_id:
        block.check_single(spec.user_id)  # checks it for grouped metrics, which read the raw rows
    return pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))


class _Encode(beam.DoFn):
    """Converts packed record batches to serialized tf.Examples."""

    def process(self, element):
        batch, _ = element
        names = [name.removeprefix(_BYPASS) for name in batch.schema.names]
        batch = pa.RecordBatch.from_arrays(batch.columns, names)
        yield from serialize_rows(batch)


def complete_spec(spec: DatasetSpec, survey: Mapping[str, Any]) -> DatasetSpec:
    """Returns a spec with what the training rows decide, from their survey.

    These are the types of columns whose tf.Examples had another type, and what tasks fit.
    """
    types = {name: of["types"][0] for name, of in survey["columns"].items() if of["types"]}
    tasks = tuple(task.fit(survey["tasks"][task.name]) for task in spec.tasks)
    return dataclasses.replace(spec, example_types=types, tasks=tasks)


def _survey_file(directory: str, split: str) -> str:
    return f"{directory}/survey-{split}.json"


def find_user_error(error: BaseException) -> InputError | None:
    """Returns the input error in what a runner raised, without the runner's notes, if there is one.

    Beam adds the step's name to a worker's error, and other engines wrap it into a text.
    """
    if isinstance(error, InputError):
        return InputError(_STEP_NOTE.sub("", str(error)))
    match = re.search(r"InputError: (.*)", str(error))
    return InputError(_STEP_NOTE.sub("", match.group(1))) if match else None
