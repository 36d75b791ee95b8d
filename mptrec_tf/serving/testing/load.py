"""Steady load on a server while its versions change; every prediction is checked."""

import collections
import contextlib
import dataclasses
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mptrec_tf.serving.testing.local_server import LocalServer

TOLERANCE = 1e-5  # between batch sizes the last bits differ
# Rows of the requests; each caller sends them in turn.
SLICES = (slice(0, 1), slice(1, 5), slice(5, 20))


def measure_difference(
    predictions: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    rows: slice = slice(None),
) -> float:
    """Returns the largest relative difference; infinite if tasks or the number of rows differ."""
    if predictions.keys() != expected.keys():
        return np.inf
    gaps = [0.0]
    for task, values in expected.items():
        if predictions[task].shape != values[rows].shape:
            return np.inf
        gaps.append(float(np.max(np.abs(predictions[task] / values[rows] - 1))))
    return max(gaps)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Versions that are ready to be pushed.

    Attributes:
      folder: Their directory.
      expected: Each version's predictions, by its number.
      names: What is new in each.
    """

    folder: Path
    expected: dict[int, Mapping[str, np.ndarray]]
    names: dict[int, str]

    def push(self, base: Path, number: int) -> None:
        """Copies a version to a server's base path; it appears there at once."""
        staging = base / f"{number}.staging"
        shutil.copytree(self.folder / str(number), staging)
        os.rename(staging, base / str(number))


def prepare_versions(backbone_dir: str, folder: Path, block: Any, swaps: int) -> Prepared:
    """Exports a first version, `swaps` others, one with a task more and one with a task less.

    Their predictions for the same rows differ far more than the tolerance.

    Args:
      backbone_dir: A backbone of the synthetic data.
      folder: Where to write them.
      block: Raw rows.
      swaps: How many versions have the tasks of the first.
    """
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import TaskPackage
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.export.version_parts import apply_changes
    from mptrec_tf.inference.saved_model import LoadedModel
    from mptrec_tf.keras import keras
    from mptrec_tf.models.heads.prompt_shape import PromptConfig
    from mptrec_tf.models.heads.registry import make_head

    backbone = load_backbone(backbone_dir)

    def package(name: str, seed: int) -> TaskPackage:
        keras.utils.set_random_seed(seed)
        head = make_head(PromptConfig(tower_units=(4,)), backbone.model.layout, name)
        [task] = backbone.spec.select_tasks([name])
        return TaskPackage(f"tasks/{name}", task, head, backbone.fingerprint, {})

    versions = [("first", [package("share", 1)])]
    versions += [(f"swapped in {n}", [package("share", 1 + n)]) for n in range(1, swaps + 1)]
    versions.append(("task added", apply_changes(versions[-1][1], add=[package("purchase", 100)])))
    versions.append(("task removed", apply_changes(versions[-1][1], remove=["share"])))
    expected, names = {}, {}
    for name, packages in versions:
        path, number = export(backbone, packages, str(folder))
        expected[number], names[number] = LoadedModel(path).predict(block), name
    for one in expected:
        for other in range(1, one):
            for rows in SLICES:
                mine = {task: values[rows] for task, values in expected[one].items()}
                if measure_difference(mine, expected[other], rows) < 100 * TOLERANCE:
                    raise AssertionError(f"versions {other} and {one} predict alike")
    return Prepared(folder, expected, names)


class Load:
    """Callers who send requests without a pause, and check each response against its version.

    Args:
      server: The server.
      columns: Raw columns of the rows.
      expected: Each version's predictions for these rows.

    Attributes:
      problems: What went wrong, a line each.
    """

    def __init__(
        self,
        server: LocalServer,
        columns: Mapping[str, np.ndarray],
        expected: Mapping[int, Mapping[str, np.ndarray]],
    ):
        self.problems: list[str] = []
        self._server, self._columns, self._expected = server, columns, expected
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._correct: collections.Counter[tuple[str, int | None]] = collections.Counter()

    def count_correct(self, kind: str | None = None, version: int | None = None) -> int:
        """Returns the number of correct responses so far, of one protocol or version."""
        with self._lock:
            return sum(
                count
                for (by, of), count in self._correct.items()
                if kind in (None, by) and version in (None, of)
            )

    def make_table(self, names: Mapping[int, str]) -> list[dict[str, Any]]:
        """Returns a row for each version: its name, and its number of correct responses."""
        return [
            {
                "version": version,
                "what": name,
                **{kind: self.count_correct(kind, version) for kind in ("gRPC", "REST")},
            }
            for version, name in sorted(names.items())
        ]

    @contextlib.contextmanager
    def running(self, callers: int) -> Iterator[None]:
        """Lets callers send requests while the block runs, half of them over each protocol."""
        threads = [
            threading.Thread(target=self._send, args=(("gRPC", "REST")[n % 2], n))
            for n in range(callers)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _send(self, kind: str, number: int) -> None:
        with self._server.make_client(kind) as client:
            while not self._stop.is_set():
                number += 1
                rows = SLICES[number % len(SLICES)]
                try:
                    prediction = client.predict({k: v[rows] for k, v in self._columns.items()})
                # Whatever the error is, the request failed.
                except Exception as error:
                    with self._lock:
                        self.problems.append(f"{kind}: {error!r}")
                    continue
                version = prediction.version
                expected = self._expected.get(version)
                gap = np.inf if expected is None else measure_difference(prediction, expected, rows)
                with self._lock:
                    if gap > TOLERANCE:
                        self.problems.append(f"{kind}: version {version} is off by {gap}")
                    else:
                        self._correct[kind, version] += 1


def change_under_load(
    server: LocalServer, load: Load, prepared: Prepared, responses: int
) -> list[dict[str, Any]]:
    """Pushes all versions, a broken one, and deletes the last; returns a row for each change.

    Each change ends after some correct responses of the expected version over both protocols.
    """
    base, last = Path(server.base), max(prepared.expected)
    broken = last + 1

    def push_broken() -> None:
        (base / str(broken)).mkdir()
        (base / str(broken) / "saved_model.pb").write_bytes(b"broken")

    def remove(number: int) -> None:
        removed = base / f"{number}.removed"
        os.rename(base / str(number), removed)
        shutil.rmtree(removed)

    changes: list[tuple[str, Callable[[], None], Mapping[int, str], int]] = [
        (
            prepared.names[number],
            lambda number=number: prepared.push(base, number),
            {number: "AVAILABLE", number - 1: "END"},
            number,
        )
        for number in sorted(prepared.expected)[1:]
    ]
    changes += [
        ("broken", push_broken, {broken: "END", last: "AVAILABLE"}, last),
        ("broken removed", lambda: remove(broken), {last: "AVAILABLE"}, last),
        ("deleted", lambda: remove(last), {last: "END", last - 1: "AVAILABLE"}, last - 1),
    ]
    table = []
    for name, apply, states, serves in changes:
        start, before = time.monotonic(), load.count_correct()
        apply()
        server.wait(lambda states=states: states.items() <= server.read_states().items())
        settled = time.monotonic() - start
        counts = {kind: load.count_correct(kind, serves) for kind in ("gRPC", "REST")}
        server.wait(
            lambda counts=counts, serves=serves: (
                all(
                    load.count_correct(kind, serves) >= count + responses
                    for kind, count in counts.items()
                )
                or bool(load.problems)
            )
        )
        table.append(
            {
                "change": name,
                "serves": f"version {serves}",
                "settled_s": settled,
                "responses": load.count_correct() - before,
                "problems": len(load.problems),
            }
        )
    return table
