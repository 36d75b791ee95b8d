"""Writes the rows of a source as TFRecord files on Beam, each file by one worker.

A worker takes some shards of a split from end to end: it reads their rows, encodes them, and writes
them. Rows never leave it, so that memory does not depend on their number, and which rows a file
holds, in which order, depends on the source alone.
"""

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.reading import MakeBatch, read_blocks, survey_batch
from mptrec_tf.data.sources.block import Source
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import MergeSurveys, Survey

# Files of a split, unless told otherwise: as many as the source has shards, up to this number.
MOST_FILES = 256

Encode = Callable[[pa.RecordBatch], Sequence[bytes]]


@dataclasses.dataclass(frozen=True)
class FileGroup:
    """The work of one worker: shards of a split, and the files that their rows go to.

    Attributes:
      split: str. The split.
      shards: Shards of the source, which are read in this order.
      paths: The files. Blocks of rows go to one after the other, in turn.
    """

    split: str
    shards: tuple[Any, ...]
    paths: tuple[str, ...]


def plan_files(
    source: Source, prefixes: Mapping[str, str], suffix: str, files: int | None = None
) -> list[FileGroup]:
    """Returns which shards go to which files.

    Args:
      source: The rows.
      prefixes: By split, what the names of its files begin with.
      suffix: What they end with; with ".gz" they are compressed.
      files: Optional. Files of each split. Defaults to one for each shard, up to `MOST_FILES`.
    """
    groups = []
    for split, prefix in prefixes.items():
        shards = list(source.shards(split))
        count = files or min(len(shards), MOST_FILES)
        paths = [f"{prefix}-{i:05d}-of-{count:05d}{suffix}" for i in range(count)]
        workers = min(len(shards), count)
        groups += [
            FileGroup(split, tuple(_part(shards, i, workers)), tuple(_part(paths, i, workers)))
            for i in range(workers)
        ]
    return groups


def _part(items: Sequence[Any], number: int, parts: int) -> Sequence[Any]:
    """Returns a run of consecutive items; the parts differ in length by one at most."""
    return items[number * len(items) // parts : (number + 1) * len(items) // parts]


class WriteRows(beam.PTransform):
    """Turns `FileGroup`s into files and a JSON text for each split: {split: its survey}.

    Args:
      source: The rows.
      make_batch: Checks a block of rows of a split and converts it to Arrow columns.
      encode: Returns the records of a batch. It is pickled.
      temporary: A directory that all workers can write: files appear whole or not at all.
      run: The key of the callback in `reading.on_rows`, if there is one.
    """

    def __init__(
        self, source: Source, make_batch: MakeBatch, encode: Encode, temporary: str, run: str = ""
    ):
        super().__init__()
        self._source = source
        self._step = _Write(source, make_batch, encode, temporary, run)

    def expand(self, groups):
        """Returns the texts."""
        return (
            groups
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(self._step)
            | "Merge" >> beam.CombinePerKey(MergeSurveys())
            | "Json" >> beam.Map(_to_json, self._source.spec)
        )


def _to_json(of_split: tuple[str, Survey], spec: DatasetSpec) -> str:
    split, survey = of_split
    return json.dumps({split: survey.to_dict(spec)})


class _Write(beam.DoFn):
    """Writes the files of a group; yields its split and survey."""

    def __init__(
        self, source: Source, make_batch: MakeBatch, encode: Encode, temporary: str, run: str
    ):
        self._source = source
        self._make_batch = make_batch
        self._encode = encode
        self._temporary = temporary
        self._run = run

    def process(self, group):
        survey = Survey()
        with _open_files(group.paths, self._temporary) as writers:
            for number, block in enumerate(self._read(group)):
                batch, of_block = survey_batch(
                    self._source.spec, block, group.split, self._make_batch
                )
                survey.add(of_block)
                write = writers[number % len(writers)].write
                for record in self._encode(batch) if len(batch) else ():
                    write(record)
        yield group.split, survey

    def _read(self, group: FileGroup):
        for shard in group.shards:
            yield from read_blocks(self._source, shard, self._run)


@contextlib.contextmanager
def _open_files(paths: Sequence[str], temporary: str) -> Iterator[list[tf.io.TFRecordWriter]]:
    """Opens TFRecord files; they get their names when all is written.

    A worker that tries again does not write into the files of the first try.
    """
    tf.io.gfile.makedirs(temporary)
    begun = [f"{temporary}/{uuid.uuid4().hex}" for _ in paths]
    with contextlib.ExitStack() as opened:
        yield [
            opened.enter_context(
                tf.io.TFRecordWriter(name, "GZIP" if path.endswith(".gz") else None)
            )
            for name, path in zip(begun, paths, strict=True)
        ]
    for name, path in zip(begun, paths, strict=True):
        tf.io.gfile.rename(name, path, overwrite=True)
