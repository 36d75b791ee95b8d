"""Rows that cannot be predicted: a table of them, and their number."""

import collections
import contextlib
import json
from collections.abc import Iterator
from typing import IO

from mptrec_tf.data.sources.bad_rows import NOT_A_LIST, NOT_A_NUMBER, BadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.inference import csv_lines
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.storage.directories import create_file

COLUMNS = ("file", "line", "reason", "row")
_MOST_PENDING = 50_000


class Rejects:
    """Writes rejected rows as CSV: their file, line (or record or row), reason and text.

    Args:
      file: An open file.

    Attributes:
      counts: Rejected rows by kind of reason.
    """

    def __init__(self, file: IO):
        self.counts: collections.Counter[str] = collections.Counter()
        self._file = file
        self._pending: list[BadRow] = []
        self._file.write(csv_lines.format_line(COLUMNS))

    def add(self, bad: BadRow) -> None:
        """Adds a rejected row."""
        self.counts[bad.kind] += 1
        self._pending.append(bad)
        if len(self._pending) >= _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that were added, sorted by line within each file."""
        order = {
            source: i for i, source in enumerate(dict.fromkeys(b.source for b in self._pending))
        }
        for bad in sorted(self._pending, key=lambda bad: (order[bad.source], bad.line)):
            self._file.write(
                csv_lines.format_line((bad.source, str(bad.line), bad.reason, bad.row))
            )
        self._pending.clear()

    def reject_non_numbers(self, model: LoadedModel, block: Block) -> Block:
        """Adds the rows of a block that lack a number that a model needs; returns the others."""
        reasons: dict[int, list[str]] = {}
        for feature in model.spec.raw_columns.values():
            for row, reason in feature.bad_rows(model.spec, block):
                reasons.setdefault(row, []).append(reason)
        for row, row_reasons in reasons.items():
            place = (block.source, int(block.lines[row]))
            numbers = all(reason.endswith("finite number") for reason in row_reasons)
            kind = NOT_A_NUMBER if numbers else NOT_A_LIST
            self.add(BadRow(*place, kind, "; ".join(row_reasons), _format_row(block, row)))
        return block.rows([row for row in range(len(block)) if row not in reasons])


def _format_row(block: Block, row: int) -> str:
    """Formats a row like its line in the file, or a record's values as JSON."""
    if block.values:
        return csv_lines.format_line(block.values[row], block.delimiter).removesuffix("\n")
    values = {name: column[row] for name, column in block.columns.items()}
    if block.unit == "line" and block.sparse is None:  # of text, not of JSON
        return csv_lines.format_line(map(str, values.values())).removesuffix("\n")
    plain = {name: v.tolist() if hasattr(v, "tolist") else v for name, v in values.items()}
    return json.dumps(plain, ensure_ascii=False)


@contextlib.contextmanager
def open_rejects(path: str) -> Iterator[Rejects]:
    """Yields a `Rejects` whose file appears when the block ends without an error.

    Raises:
      InputError: if the file cannot be written.
    """
    with create_file(path) as file:
        rejects = Rejects(file)
        yield rejects
        rejects.flush()
