"""A server in a process of its own, and steady load on it while its versions change.

Shared by `serving_faults.py` and the tests of the server.
"""

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LONG = 60.0  # seconds: beside other work a machine is slow
TOLERANCE = 1e-5  # between batch sizes the last bits differ
SERVE = (sys.executable, "-m", "mptrec_tf.bin.serve")
# Rows of the requests; each caller asks for some of them in turn.
SLICES = (slice(0, 1), slice(1, 5), slice(5, 20))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class LocalServer:
    """mptrec-serve, or TF Serving, in a process of its own, on ports that are free.

    Args:
      base: Where the versions of model "m" are; None where flags say what is served.
      folder: Where its log is written.
      *flags: More of its flags.
      command: The program.

    Attributes:
      process: The process.
      log: Path of what it writes.
    """

    def __init__(self, base: Any, folder: Path, *flags: str, command: Sequence[str] = SERVE):
        self.base, self.log = base, folder / "server.log"
        model = [] if base is None else ["--model_name=m", f"--model_base_path={base}"]
        for tries in range(3):
            self.port, self.rest_port = free_port(), free_port()
            ports = [f"--port={self.port}", f"--rest_api_port={self.rest_port}"]
            polling = "--file_system_poll_wait_seconds=1"
            with open(self.log, "w") as log:
                self.process = subprocess.Popen(
                    [*command, *model, *ports, polling, *flags], stdout=log, stderr=log
                )
            try:
                self.wait(lambda: "AVAILABLE" in self.states().values())
                return
            except AssertionError:
                self.process.kill()
                self.process.wait()
                # Somebody else may take a port before the server does.
                if tries == 2 or "cannot listen on" not in self.log.read_text():
                    raise

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def address(self) -> str:
        """Where gRPC is."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """Returns what the REST port answers."""
        with urllib.request.urlopen(self.url + path, timeout=LONG) as answer:
            return answer.read()

    def states(self) -> dict[int, str | None]:
        """State of each version that the server knows."""
        try:
            found = json.loads(self.get("/v1/models/m"))["model_version_status"]
        except OSError:
            return {1: None}
        return {int(version["version"]): version["state"] for version in found}

    def metric(self, pattern: str) -> float:
        """Sum of the metrics whose line begins as a pattern says."""
        text = self.get("/monitoring/prometheus/metrics").decode()
        lines = [line for line in text.splitlines() if re.match(pattern, line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Waits for a condition as long as the process lives.

        Raises:
          AssertionError: with its log, if the process ends or the condition never holds.
        """
        end = time.monotonic() + LONG
        while not ready():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > end:
                what = "still runs" if ended is None else f"ended with status {ended}"
                raise AssertionError(f"the server {what}:\n{self.log.read_text()}")
            time.sleep(0.1)

    def client(self, kind: str, **options: Any) -> Any:
        """A client for "gRPC" or "REST"."""
        from mptrec_tf.serving.client import GrpcClient, RestClient

        options = {"timeout": LONG} | options
        if kind == "gRPC":
            return GrpcClient(self.address, "m", **options)
        return RestClient(self.url, "m", **options)

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.wait(LONG)

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
            threading.Thread(target=self._ask, args=(("gRPC", "REST")[n % 2], n))
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

    def _ask(self, kind: str, number: int) -> None:
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
