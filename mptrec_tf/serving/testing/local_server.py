"""A server in a process of its own, on free ports."""

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

LONG = 60.0  # seconds: a busy machine is slow
SERVE = (sys.executable, "-m", "mptrec_tf.bin.serve")


def find_free_port() -> int:
    """Returns a port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class LocalServer:
    """mptrec-serve, or TF Serving, in a process of its own, on free ports.

    Args:
      base: Base path of model "m"; None where flags name the models.
      folder: Where its log is written.
      *flags: More of its flags.
      command: The program.

    Attributes:
      process: The process.
      log: Path of its log.
    """

    def __init__(self, base: Any, folder: Path, *flags: str, command: Sequence[str] = SERVE):
        self.base, self.log = base, folder / "server.log"
        model = [] if base is None else ["--model_name=m", f"--model_base_path={base}"]
        for tries in range(3):
            self.port, self.rest_port = find_free_port(), find_free_port()
            ports = [f"--port={self.port}", f"--rest_api_port={self.rest_port}"]
            polling = "--file_system_poll_wait_seconds=1"
            with open(self.log, "w") as log:
                self.process = subprocess.Popen(
                    [*command, *model, *ports, polling, *flags], stdout=log, stderr=log
                )
            try:
                self.wait(lambda: "AVAILABLE" in self.read_states().values())
                return
            except AssertionError:
                self.process.kill()
                self.process.wait()
                # Somebody else may take a port before the server does.
                if tries == 2 or "cannot listen on" not in self.log.read_text():
                    raise

    @property
    def url(self) -> str:
        """The URL of REST."""
        return f"http://127.0.0.1:{self.rest_port}"

    @property
    def address(self) -> str:
        """The address of gRPC."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str) -> bytes:
        """Returns the body of the REST port's response."""
        with urllib.request.urlopen(self.url + path, timeout=LONG) as response:
            return response.read()

    def read_states(self) -> dict[int, str | None]:
        """Returns the state of each version that the server knows."""
        try:
            versions = json.loads(self.get("/v1/models/m"))["model_version_status"]
        except OSError:
            return {1: None}
        return {int(version["version"]): version["state"] for version in versions}

    def read_metric(self, pattern: str) -> float:
        """Returns the sum of the metrics whose lines begin with a pattern."""
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

    def make_client(self, kind: str, **options: Any) -> Any:
        """Returns a client for "gRPC" or "REST"."""
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
