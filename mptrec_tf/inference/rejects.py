"""What becomes of rows that cannot be predicted: a table of them, and how many there were."""

import collections
import contextlib
import json
from collections.abc import Iterator
from typing import IO

from mptrec_tf.data.sources.bad_rows import NOT_A_NUMBER, BadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.inference import csv_lines
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.storage.directories import create_file

COLUMNS = ("file", "line", "reason", "row")
_MOST_PENDING = 50_000


class Rejects:
    """Writes rejected rows as CSV: their file, line (or number of the record), reason and text.

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
        """Takes a rejected row."""
        self.counts[bad.kind] += 1
        self._pending.append(bad)
        if len(self._pending) >= _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Writes what was taken, each file's rows in order."""
        order = {
            source: i for i, source in enumerate(dict.fromkeys(b.source for b in self._pending))
        }
        for bad in sorted(self._pending, key=lambda bad: (order[bad.source], bad.line)):
            self._file.write(
                csv_lines.format_line((bad.source, str(bad.line), bad.reason, bad.row))
            )
        self._pending.clear()

    def reject_non_numbers(self, model: LoadedModel, block: Block) -> Block:
        """Takes the rows of a block that lack a number that a model needs; returns the others."""
        reasons: dict[int, list[str]] = {}
        for name in model.number_columns:
            for row in block.not_numbers(name).tolist():
                value = str(block.column(name)[row])
                reasons.setdefault(row, []).append(
                    f"column {name!r}: {value!r} is not a finite number"
                )
        for row, found in reasons.items():
            place = (block.source, int(block.lines[row]))
            self.add(BadRow(*place, NOT_A_NUMBER, "; ".join(found), _format_row(block, row)))
        return block.rows([row for row in range(len(block)) if row not in reasons])


def _format_row(block: Block, row: int) -> str:
    """A row as it may have stood in its file: a line, or the values of a record as JSON."""
    if block.values:
        return csv_lines.format_line(block.values[row], block.delimiter).removesuffix("\n")
    values = {name: column[row] for name, column in block.columns.items()}
    if block.unit == "line":
        return csv_lines.format_line(map(str, values.values())).removesuffix("\n")
    plain = {name: v.item() if hasattr(v, "item") else v for name, v in values.items()}
    return json.dumps(plain, ensure_ascii=False)


@contextlib.contextmanager
def open_rejects(path: str) -> Iterator[Rejects]:
    """Yields what writes rejected rows to a file, which appears when the block ends well.

    Raises:
      InputError: if it cannot be written.
    """
    with create_file(path) as file:
        rejects = Rejects(file)
        yield rejects
        rejects.flush()
