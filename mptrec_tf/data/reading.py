"""Reads raw rows on Beam, for programs and TFX components."""

from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from mptrec_tf.data.row_counts import RowCounts
from mptrec_tf.data.sampling import find_left_out, find_sampled_task
from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import Survey, survey_block, survey_left_out

MakeBatch = Callable[[DatasetSpec, Block, str], pa.RecordBatch]


class ReadRows(beam.DoFn):
    """Reads shards of a split into record batches; of the training rows, those that are kept.

    Batches go to steps that hold no rows, such as analyzers. A step that waits for another one
    makes runners in memory hold all batches until then: read the rows once more instead.

    Args:
      source: The rows.
      split: The split's name.
      make_batch: Checks a block of rows of a split and converts it to Arrow columns.
      counts: Optional. What counts the rows.
    """

    def __init__(
        self, source: Source, split: str, make_batch: MakeBatch, counts: RowCounts | None = None
    ):
        self._source = source
        self._split = split
        self._make_batch = make_batch
        self._counts = counts

    def process(self, element):
        """Yields the record batches of a shard."""
        spec = self._source.spec
        for block in read_blocks(self._source, element, self._counts):
            batch = self._make_batch(spec, block, self._split)
            left_out = _find_left_out(spec, block, batch, self._split)
            if left_out is not None:
                batch = batch.filter(pa.array(~left_out))
            if len(batch):
                yield batch


def read_blocks(source: Source, shard: Any, counts: RowCounts | None = None) -> Iterator[Block]:
    """Yields the blocks of a shard that have rows, and counts the rows of each when it is done."""
    for block in filter(len, source.read(shard)):
        yield block
        if counts is not None:
            counts.add(len(block))


def survey_batch(
    spec: DatasetSpec, block: Block, split: str, make_batch: MakeBatch
) -> tuple[pa.RecordBatch, Survey]:
    """Returns the rows of a block that are kept, perhaps none, and a survey of all its rows.

    Args:
      spec: The data set's spec.
      block: n raw rows.
      split: Their split.
      make_batch: Checks them, those that are left out, too.
    """
    batch = make_batch(spec, block, split)
    left_out = _find_left_out(spec, block, batch, split)
    if left_out is None:
        return batch, survey_block(spec, block)
    survey = survey_left_out(spec, left_out)
    if not left_out.all():
        survey.add(survey_block(spec, block.rows(~left_out)))
    return batch.filter(pa.array(~left_out)), survey


def _find_left_out(
    spec: DatasetSpec, block: Block, batch: pa.RecordBatch, split: str
) -> np.ndarray | None:
    """Returns which rows are left out, [n] bool; None where a split is complete."""
    if split != SPLITS[0] or not find_sampled_task(spec):
        return None
    return find_left_out(spec, block, batch)
