"""Reads raw rows on Beam, for programs and TFX components."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.sampling import find_left_out, find_sampled_task
from mptrec_tf.data.sources.block import SPLITS, Block, Source
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import MergeSurveys, Survey, survey_block, survey_left_out

# Names of outputs.
_ROWS, _SURVEY = "rows", "survey"

MakeBatch = Callable[[DatasetSpec, Block, str], pa.RecordBatch]
# Callbacks with the number of rows that were read, by run. They work for runners in this process
# only: a pipeline's steps are pickled, and callbacks cannot be.
on_rows: dict[str, Callable[[int], Any]] = {}


def read_split(
    pipeline: beam.Pipeline, source: Source, split: str, make_batch: MakeBatch, run: str = ""
) -> tuple[beam.PCollection, beam.PCollection]:
    """Reads the rows of a split; of the training rows, those that are kept (`sampling`).

    Args:
      pipeline: The pipeline to add steps to.
      source: The rows.
      split: The split's name.
      make_batch: Checks a block of rows of a split and converts it to Arrow columns.
      run: The key of the callback in `on_rows`, if there is one.

    Returns:
      Record batches, and one survey of all rows as plain data.
    """
    read = (
        pipeline
        | f"Shards/{split}" >> beam.Create(list(source.shards(split)))
        | f"Spread/{split}" >> beam.Reshuffle()
        | f"Read/{split}"
        >> beam.ParDo(_Read(source, split, make_batch, run)).with_outputs(_SURVEY, main=_ROWS)
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

    def __init__(self, source: Source, split: str, make_batch: MakeBatch, run: str):
        self._source = source
        self._split = split
        self._make_batch = make_batch
        self._run = run

    def process(self, element):
        for block in filter(len, self._source.read(element)):
            for rows, survey in self._make(block):
                if rows is not None:
                    yield rows
                yield beam.pvalue.TaggedOutput(_SURVEY, survey)
            if self._run in on_rows:
                on_rows[self._run](len(block))

    def _make(self, block: Block) -> Iterator[tuple[pa.RecordBatch | None, Survey]]:
        """Yields a block's rows, if any are kept, and surveys."""
        spec = self._source.spec
        batch = self._make_batch(spec, block, self._split)  # checks all rows
        if self._split == SPLITS[0] and find_sampled_task(spec):
            left_out = find_left_out(spec, block, batch)
            yield None, survey_left_out(spec, left_out)
            if left_out.all():
                return
            batch, block = batch.filter(pa.array(~left_out)), block.rows(~left_out)
        yield batch, survey_block(spec, block)
