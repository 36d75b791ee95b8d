"""Reads raw rows on Beam, for programs and TFX components."""

import json
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import MergeSurveys, Survey, survey_block

# Names of outputs.
_ROWS, _SURVEY = "rows", "survey"

MakeBatch = Callable[[DatasetSpec, Block], pa.RecordBatch]
# Callbacks with the number of rows that were read, by run. They work for runners in this process
# only: a pipeline's steps are pickled, and callbacks cannot be.
on_rows: dict[str, Callable[[int], Any]] = {}


def read_split(
    pipeline: beam.Pipeline, source: Source, split: str, make_batch: MakeBatch, run: str = ""
) -> tuple[beam.PCollection, beam.PCollection]:
    """Reads the rows of a split.

    Args:
      pipeline: The pipeline to add steps to.
      source: The rows.
      split: The split's name.
      make_batch: Checks a block of rows and converts it to Arrow columns.
      run: The key of the callback in `on_rows`, if there is one.

    Returns:
      Record batches, and one survey of all rows as plain data.
    """
    read = (
        pipeline
        | f"Shards/{split}" >> beam.Create(list(source.shards(split)))
        | f"Spread/{split}" >> beam.Reshuffle()
        | f"Read/{split}"
        >> beam.ParDo(_Read(source, make_batch, run)).with_outputs(_SURVEY, main=_ROWS)
    )
    survey = (
        read[_SURVEY]
        | f"Survey/{split}" >> beam.CombineGlobally(MergeSurveys())
        | f"Plain/{split}" >> beam.Map(Survey.to_dict, source.spec)
    )
    return read[_ROWS], survey


def read_summary(path: str) -> dict[str, Any]:
    """Returns the merged JSON objects of a file, one per line, and removes the file."""
    with tf.io.gfile.GFile(path) as file:
        summary = {key: value for line in file for key, value in json.loads(line).items()}
    tf.io.gfile.remove(path)
    return summary


class _Read(beam.DoFn):
    """Reads shards of a source into record batches and their surveys."""

    def __init__(self, source: Source, make_batch: MakeBatch, run: str):
        self._source = source
        self._make_batch = make_batch
        self._run = run

    def process(self, element):
        for block in filter(len, self._source.read(element)):
            yield self._make_batch(self._source.spec, block)
            yield beam.pvalue.TaggedOutput(_SURVEY, survey_block(self._source.spec, block))
            if self._run in on_rows:
                on_rows[self._run](len(block))
