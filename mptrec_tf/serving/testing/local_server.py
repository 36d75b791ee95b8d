"""A server in a process of its own, on ports that are free."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LONG = 60.0  # seconds: beside other work a machine is slow
SERVE = (sys.executable, "-m", "mptrec_tf.bin.serve")


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
