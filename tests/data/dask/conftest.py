import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUNNER = "--runner=mptrec_tf.data.dask.runner.DaskRunner"
SECONDS = 120


class Cluster:
    """A scheduler of dask.distributed and workers, each in a process of its own, on loopback.

    A worker that ends is started again by its parent process, as on a cluster.
    """

    def __init__(self, folder, workers):
        self._folder, self._processes = folder, []
        file = folder / "scheduler.json"
        self._start("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={file}")
        until = time.monotonic() + SECONDS
        while not file.exists():
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)
        # The second is how long a scheduler that is lost may be away, too.
        self.flags = [RUNNER, "--dask_connection_timeout=10", f"--dask_scheduler_file={file}"]
        self.client = self._connect(file)
        for _ in range(workers):
            place = ("--host=127.0.0.1", f"--local-directory={folder}")
            self._start("worker", f"--scheduler-file={file}", "--nthreads=1", *place)
        if workers:
            self.client.wait_for_workers(workers, timeout=SECONDS)

    def _connect(self, file):
        from distributed import Client

        return Client(scheduler_file=str(file), set_as_default=False)

    def _start(self, kind, *flags):
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        # One worker that is lost while it runs a bundle is nothing special, two are.
        settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", "PYTHONPATH": paths}
        with open(self._folder / f"log-{len(self._processes)}", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *flags],
                env=os.environ | settings,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)

    def pids(self):
        """The workers' processes."""
        return list(self.client.run(os.getpid).values())

    def find_busy(self):
        """The processes of the workers that run bundles now."""
        busy = [worker for worker, tasks in self.client.processing().items() if tasks]
        return list(self.client.run(os.getpid, workers=busy).values()) if busy else []

    def log(self):
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("log-*")))

    def stop(self):
        self.client.close()
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)


@pytest.fixture(scope="module")  # processes that wait for work take a twentieth of a core each
def start_cluster(tmp_path_factory):
    """Starts a cluster with a number of workers, which is stopped after the module's tests."""
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    clusters = []

    def start(workers):
        clusters.append(Cluster(tmp_path_factory.mktemp("dask"), workers))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(start_cluster):
    """A cluster with two workers."""
    return start_cluster(2)
