"""Steady load on a server while its versions change, every prediction compared with what is due."""

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
# Rows of the requests; each caller asks for some of them in turn.
SLICES = (slice(0, 1), slice(1, 5), slice(5, 20))


def difference(
    answer: Mapping[str, np.ndarray], due: Mapping[str, np.ndarray], rows: slice = slice(None)
) -> float:
    """The largest relative difference of an answer; infinite if its tasks or rows are others."""
    if answer.keys() != due.keys():
        return np.inf
    gaps = [0.0]
    for task, values in due.items():
        if answer[task].shape != values[rows].shape:
            return np.inf
        gaps.append(float(np.max(np.abs(answer[task] / values[rows] - 1))))
    return max(gaps)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Versions that wait aside to be pushed.

    Attributes:
      folder: Where they are.
      expected: What each answers, by its number.
      names: What is new in each.
    """

    folder: Path
    expected: dict[int, Mapping[str, np.ndarray]]
    names: dict[int, str]

    def push(self, base: Path, number: int) -> None:
        """Puts a copy of a version where a server finds it, at once."""
        aside = base / f"{number}.aside"
        shutil.copytree(self.folder / str(number), aside)
        os.rename(aside, base / str(number))


def prepare_versions(backbone_dir: str, folder: Path, block: Any, swaps: int) -> Prepared:
    """Exports a first version, `swaps` others, one with a task more and one with a task less.

    All of them answer the same rows by far otherwise than each other.

    Args:
      backbone_dir: A backbone of the synthetic data.
      folder: Where to write.
      block: Raw rows.
      swaps: How many versions have the tasks of the first.
    """
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import TaskPackage
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.export.version_parts import changed
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

    made = [("first", [package("share", 1)])]
    made += [(f"swapped in {n}", [package("share", 1 + n)]) for n in range(1, swaps + 1)]
    made.append(("task added", changed(made[-1][1], add=[package("purchase", 100)])))
    made.append(("task removed", changed(made[-1][1], remove=["share"])))
    expected, names = {}, {}
    for name, packages in made:
        path, number = export(backbone, packages, str(folder))
        expected[number], names[number] = LoadedModel(path).predict(block), name
    for one in expected:
        for other in range(1, one):
            for rows in SLICES:
                mine = {task: values[rows] for task, values in expected[one].items()}
                if difference(mine, expected[other], rows) < 100 * TOLERANCE:
                    raise AssertionError(f"versions {other} and {one} answer alike")
    return Prepared(folder, expected, names)


class Load:
    """Callers who ask without a pause, and compare each answer with the version it came from.

    Args:
      server: Whom they ask.
      columns: Raw columns of the rows.
      expected: What each version answers for these rows.

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
        self._answers: collections.Counter[tuple[str, int | None]] = collections.Counter()

    def answers(self, kind: str | None = None, version: int | None = None) -> int:
        """Number of right answers so far, of one protocol or version."""
        with self._lock:
            return sum(
                count
                for (by, of), count in self._answers.items()
                if kind in (None, by) and version in (None, of)
            )

    def by_version(self, names: Mapping[int, str]) -> list[dict[str, Any]]:
        """A row for each version: its name, and how many right answers it gave."""
        return [
            {
                "version": version,
                "what": name,
                **{kind: self.answers(kind, version) for kind in ("gRPC", "REST")},
            }
            for version, name in sorted(names.items())
        ]

    @contextlib.contextmanager
    def running(self, callers: int) -> Iterator[None]:
        """Keeps so many callers asking, half of them over each protocol."""
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
        with self._server.client(kind) as client:
            while not self._stop.is_set():
                number += 1
                rows = SLICES[number % len(SLICES)]
                try:
                    answer = client.predict({k: v[rows] for k, v in self._columns.items()})
                # Whatever it is, it is a failed request.
                except Exception as error:
                    with self._lock:
                        self.problems.append(f"{kind}: {error!r}")
                    continue
                due = self._expected.get(answer.version)
                gap = np.inf if due is None else difference(answer, due, rows)
                with self._lock:
                    if gap > TOLERANCE:
                        self.problems.append(f"{kind}: version {answer.version} is off by {gap}")
                    else:
                        self._answers[kind, answer.version] += 1


def change_under_load(
    server: LocalServer, load: Load, prepared: Prepared, answers: int
) -> list[dict[str, Any]]:
    """Pushes all versions, a broken one, and deletes the last; returns a row for each change.

    Each change ends when both protocols have given some answers from the version that is due.
    """
    base, last = Path(server.base), max(prepared.expected)
    broken = last + 1

    def push_broken() -> None:
        (base / str(broken)).mkdir()
        (base / str(broken) / "saved_model.pb").write_bytes(b"broken")

    def remove(number: int) -> None:
        aside = base / f"{number}.removed"
        os.rename(base / str(number), aside)
        shutil.rmtree(aside)

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
    for name, apply, due, serves in changes:
        start, before = time.monotonic(), load.answers()
        apply()
        server.wait(lambda due=due: due.items() <= server.states().items())
        settled = time.monotonic() - start
        counts = {kind: load.answers(kind, serves) for kind in ("gRPC", "REST")}
        server.wait(
            lambda counts=counts, serves=serves: (
                all(load.answers(kind, serves) >= count + answers for kind, count in counts.items())
                or bool(load.problems)
            )
        )
        table.append(
            {
                "change": name,
                "serves": f"version {serves}",
                "settled_s": settled,
                "answers": load.answers() - before,
                "problems": len(load.problems),
            }
        )
    return table
