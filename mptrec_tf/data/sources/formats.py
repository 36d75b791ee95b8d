"""The formats of files: a line each; `file_kinds` tells which one a file has."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from mptrec_tf.data.sources.arrow_files import estimate_arrow_rows, read_arrow
from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.file_kinds import ARROW, JSON, PARQUET, TEXT, TFRECORD, find_kind
from mptrec_tf.data.sources.json_rows import read_json
from mptrec_tf.data.sources.parquet_rows import count_parquet_rows, read_parquet
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.sources.tfrecord_rows import read_tfrecord
from mptrec_tf.data.sources.typed_rows import TypedRows, make_blocks
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is read of files, see `tabular.read_file`.

    Attributes:
      text_format: How text files are written.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.
      needed: With `on_bad_row`, the columns that are used.
      lists: Columns that may hold any number of values in a row.
      optional: With `on_bad_row`, the columns that are used where a row has them.
      given: The paths that files were looked for in.
    """

    text_format: TextFormat
    on_bad_row: OnBadRow | None = None
    needed: Sequence[str] = ()
    lists: Sequence[str] = ()
    optional: Sequence[str] = ()
    given: Sequence[str] = ()

    def make_blocks(self, tables: Iterator[TypedRows]) -> Iterator[Block]:
        """Yields blocks of typed rows."""
        used = (*self.needed, *self.optional)
        return make_blocks(tables, used, self.on_bad_row, self.given)


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
      read: Yields the rows of a file: its path, the compressions around it, and what is wanted.
      estimate_rows: Returns a file's rows, about; 0: unknown.
      is_plain: Whether it is read without decompression around it.
    """

    read: Callable[[str, Sequence[str], Wanted], Iterator[Block]]
    estimate_rows: Callable[[str], int] = estimate_rows
    is_plain: bool = False


FORMATS = {
    PARQUET: Format(
        lambda path, layers, w: w.make_blocks(read_parquet(path)),
        count_parquet_rows,
        is_plain=True,
    ),
    ARROW: Format(
        lambda path, layers, w: w.make_blocks(read_arrow(path)),
        estimate_arrow_rows,
        is_plain=True,
    ),
    TFRECORD: Format(
        lambda path, layers, w: read_tfrecord(
            path, layers, w.on_bad_row, w.needed, w.lists, w.optional
        ),
    ),
    JSON: Format(
        lambda path, layers, w: w.make_blocks(read_json(path, w.text_format, w.on_bad_row))
    ),
    TEXT: Format(lambda path, layers, w: read_csv(path, w.text_format, w.on_bad_row)),
}


def find_format(path: str, start: bytes, layers: Sequence[str], text_format: TextFormat) -> Format:
    """Returns the format of a file.

    Args:
      path: The file.
      start: Its first bytes, decompressed; some of them are not white space.
      layers: The names of the compressions around it.
      text_format: How text files are written.

    Raises:
      InputError: for another kind of file, or one that should not be compressed.
    """
    kind = find_kind(path, start, text_format)
    if FORMATS[kind].is_plain and layers:
        raise InputError(
            f"{path} is a compressed {kind} file; decompress it ({kind} compresses by itself)."
        )
    return FORMATS[kind]
