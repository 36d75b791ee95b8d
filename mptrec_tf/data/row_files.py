"""Writes the rows of a source as TFRecord files on Beam, each file by one worker.

A worker takes some shards of a split from end to end: it reads their rows, encodes them, and writes
them. Rows never leave it, so that memory does not depend on their number, and which rows a file
holds, in which order, depends on the source alone.
"""

import contextlib
import dataclasses
import hashlib
import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.reading import MakeBatch, read_blocks, survey_batch
from mptrec_tf.data.row_counts import RowCounts
from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.survey import Survey

# Files of a split, unless told otherwise: as many as the source has shards, up to this number.
MOST_FILES = 256
_MODULUS = 1 << 256

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


@dataclasses.dataclass
class Written:
    """What was written of a split.

    Attributes:
      survey: Statistics of all rows that were read.
      fingerprint: int. The sum of the SHA-256 of all records: it depends on every one, and not on
        their order; 0 if it was not asked for.
    """

    survey: Survey = dataclasses.field(default_factory=Survey)
    fingerprint: int = 0

    def add(self, other: "Written") -> None:
        """Adds what was written of other rows."""
        self.survey.add(other.survey)
        self.fingerprint = (self.fingerprint + other.fingerprint) % _MODULUS


def write_files(
    groups: Sequence[FileGroup],
    step: "WriteGroup",
    make_pipeline: Callable[[], beam.Pipeline],
) -> dict[str, Written]:
    """Writes files; returns what was written, by split.

    Args:
      groups: The files.
      step: What writes those of a group.
      make_pipeline: Makes the pipeline.
    """
    with make_pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(list(enumerate(groups)))
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.ParDo(step)
        )
    # In the order of the groups: a survey of very many values depends on the order of its parts,
    # and the workers end in any.
    written: dict[str, Written] = {}
    for number, group in enumerate(groups):
        with tf.io.gfile.GFile(step.summary_path(number), "rb") as file:
            written.setdefault(group.split, Written()).add(pickle.loads(file.read()))
    return written


@dataclasses.dataclass
class WriteGroup(beam.DoFn):
    """Writes the files of a group, given with its number.

    Attributes:
      source: The rows.
      make_batch: Checks a block of rows of a split and converts it to Arrow columns.
      encode: Returns the records of a batch. It is pickled.
      temporary: str. A directory for this run, which all workers can write: files appear whole or
        not at all.
      counts: Optional. What counts the rows.
      has_fingerprint: bool. Whether records are hashed, see `Written`.
    """

    source: Source
    make_batch: MakeBatch
    encode: Encode | None
    temporary: str
    counts: RowCounts | None = None
    has_fingerprint: bool = False

    def summary_path(self, number: int) -> str:
        """Returns where what was written of a group is described."""
        return f"{self.temporary}/written-{number:05d}"

    def process(self, element):
        """Writes the files."""
        number, group = element
        written = Written()
        summary = self.summary_path(number)
        with _create_files([*group.paths, summary], self.temporary) as names:
            with contextlib.ExitStack() as opened:
                writers = [
                    opened.enter_context(tf.io.TFRecordWriter(name, _compression(path)))
                    for name, path in zip(names, group.paths, strict=False)
                ]
                for block_number, block in enumerate(self._read(group)):
                    records, of_block = self._encode(block, group.split)
                    written.add(of_block)
                    write = writers[block_number % len(writers)].write
                    for record in records:
                        write(record)
            with tf.io.gfile.GFile(names[-1], "wb") as file:
                file.write(pickle.dumps(written))
        yield number

    def teardown(self):
        """Lets go of what encoding has loaded: runners in memory keep their steps."""
        self.encode = None

    def _read(self, group: FileGroup) -> Iterator[Block]:
        for shard in group.shards:
            yield from read_blocks(self.source, shard, self.counts)

    def _encode(self, block: Block, split: str) -> tuple[Sequence[bytes], Written]:
        batch, survey = survey_batch(self.source.spec, block, split, self.make_batch)
        records = self.encode(batch) if len(batch) else ()
        digests = (hashlib.sha256(record).digest() for record in records)
        fingerprint = (
            sum(int.from_bytes(of, "big") for of in digests) if self.has_fingerprint else 0
        )
        return records, Written(survey, fingerprint % _MODULUS)


def _compression(path: str) -> str | None:
    return "GZIP" if path.endswith(".gz") else None


@contextlib.contextmanager
def _create_files(paths: Sequence[str], temporary: str) -> Iterator[list[str]]:
    """Yields names to write files to; they get their own ones when all are written.

    A worker that tries again does not write into the files of the first try.
    """
    tf.io.gfile.makedirs(temporary)
    names = [f"{temporary}/{uuid.uuid4().hex}" for _ in paths]
    yield names
    for name, path in zip(names, paths, strict=True):
        tf.io.gfile.rename(name, path, overwrite=True)
