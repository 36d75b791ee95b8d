"""The output directory of a benchmark.

<directory>/
  grid.json         what all results have in common; another grid is rejected
  cells/<key>.json  the result of a finished cell; appears whole or not at all
  arrays/<key>.npz  its predictions and what figures show
  failed/<key>.json why a cell failed; it is tried again in the next run
  results.jsonl     all of these, a line each
  data/, backbones/ prepared rows and models that cells share
  work/, logs/      the state of unfinished trainings; what cells print
  report/           tables and figures
"""

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from mptrec_tf.benchmark.cells import Cell
from mptrec_tf.benchmark.sources import RowSource
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.json_files import open_description

_GRID = "grid.json"
RESULTS = "results.jsonl"


@dataclasses.dataclass(frozen=True)
class Place:
    """An output directory, and what its cells have in common.

    Attributes:
      directory: str.
      source: Where the rows come from.
    """

    directory: str
    source: RowSource

    def path(self, folder: str, cell: Cell, ending: str = "") -> str:
        """Returns the path of a cell's file or directory in a folder."""
        return os.path.join(self.directory, folder, f"{cell.key}{ending}")

    def data(self, cell: Cell) -> str:
        """Directory of prepared rows."""
        return self.path("data", cell)

    def backbone(self, cell: Cell) -> str:
        """Directory of a saved model."""
        return self.path("backbones", cell)

    def work(self, cell: Cell) -> str:
        """Directory of the state of an unfinished training."""
        return self.path("work", cell)

    def log(self, cell: Cell) -> str:
        """File of what a cell prints."""
        return self.path("logs", cell, ".log")

    def arrays(self, cell: Cell) -> str:
        """File of predictions."""
        return self.path("arrays", cell, ".npz")

    def is_done(self, cell: Cell) -> bool:
        """Whether a cell has a result."""
        return os.path.exists(self.path("cells", cell, ".json"))

    def read(self, cell: Cell) -> dict[str, Any]:
        """Reads the result of a finished cell.

        Raises:
          InputError: if it is missing or damaged.
        """
        path = self.path("cells", cell, ".json")
        with open_description(path, f"{path} is missing; start again.", "remove it") as content:
            return content

    def write(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Writes the result of a cell, and forgets an earlier failure."""
        row = {"key": cell.key, "title": cell.title, "status": "ok", "cell": cell.to_plain()}
        write_file(self.path("cells", cell, ".json"), to_json({**row, **result}) + "\n")
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path("failed", cell, ".json"))

    def write_failure(self, cell: Cell, reason: str) -> None:
        """Writes why a cell failed."""
        row = {"key": cell.key, "title": cell.title, "status": "failed", "cell": cell.to_plain()}
        write_file(self.path("failed", cell, ".json"), to_json({**row, "error": reason}) + "\n")

    def read_failure(self, cell: Cell) -> str | None:
        """Returns why a cell failed; None if it did not."""
        try:
            with open(self.path("failed", cell, ".json"), encoding="utf-8") as file:
                return json.load(file)["error"]
        except FileNotFoundError:
            return None

    def collect(self) -> list[dict[str, Any]]:
        """Writes all results, a line each, and returns them, finished cells first."""
        rows = []
        for folder in ("cells", "failed"):
            path = os.path.join(self.directory, folder)
            for name in sorted(os.listdir(path)):
                file = os.path.join(path, name)
                with open_description(file, f"{file} is missing.", "remove it") as row:
                    rows.append(row)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_file(os.path.join(self.directory, RESULTS), lines)
        return rows


FOLDERS = ("cells", "failed", "arrays", "data", "backbones", "work", "logs", "report")


def open_place(directory: str, source: RowSource, common: Mapping[str, Any]) -> Place:
    """Makes an output directory, or opens that of the same grid.

    Args:
      directory: The directory.
      source: Where the rows come from.
      common: What all results have in common, as plain data.

    Raises:
      InputError: if the directory holds something else, or results of another grid.
    """
    path = os.path.join(directory, _GRID)
    if os.path.isdir(directory) and os.listdir(directory):
        there = read_grid(directory)
        differ = sorted(k for k in {*there, *common} if there.get(k) != common.get(k))
        if differ:
            name = differ[0]
            raise InputError(
                f"{directory} holds the results of another grid: its {name} is "
                f"{json.dumps(there.get(name))}, received {json.dumps(common.get(name))}; give "
                "another --output_dir, or the same flags."
            )
    for folder in FOLDERS:
        try:
            os.makedirs(os.path.join(directory, folder), exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write {directory}: {error.strerror}.") from error
    write_file(path, json.dumps(common, indent=2) + "\n")
    return Place(directory, source)


def read_grid(directory: str) -> dict[str, Any]:
    """Reads what all results of an output directory have in common.

    Raises:
      InputError: if it is not the output directory of a benchmark.
    """
    missing = (
        f"{directory} is not the output directory of a benchmark ({_GRID} is missing); name a new "
        "directory, or one that mptrec-benchmark wrote."
    )
    with open_description(os.path.join(directory, _GRID), missing, "use an untouched copy") as grid:
        return grid


def remove(paths: Sequence[str]) -> None:
    """Removes directories, also those that are not there."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
