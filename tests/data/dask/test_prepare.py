"""Preparation by two workers of a Dask cluster, one of which is killed in the middle."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

FLAGS = ("--dataset=synthetic_logs", "--rows=2000")
SECONDS = 240


def start(output, flags):
    command = [sys.executable, "-m", "mptrec_tf.bin.prepare", *FLAGS, f"--output_dir={output}"]
    return subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, process):
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def read_files(directory):
    """The files' bytes by name; the graph's own file differs from run to run."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".pb"
    }


@pytest.fixture(scope="module")
def local(run_program, tmp_path_factory):
    """The same rows, prepared by one process."""
    directory = tmp_path_factory.mktemp("local") / "data"
    run_program("prepare", *FLAGS, f"--output_dir={directory}")
    return directory


def test_the_same_rows_although_a_worker_is_killed(cluster, local, tmp_path):
    from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform

    output = tmp_path / "data"
    process = start(output, cluster.flags)
    killed = wait_for(cluster.find_busy, process)[0]
    os.kill(killed, signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert killed not in cluster.pids()
    assert read_files(output) == read_files(local)
    assert fingerprint_transform(f"{output}/transform") == fingerprint_transform(
        f"{local}/transform"
    )
    assert os.listdir(tmp_path) == ["data"]


def test_without_workers_nothing_is_written(start_cluster, tmp_path):
    cluster = start_cluster(1)
    process = start(tmp_path / "data", cluster.flags)
    wait_for(cluster.find_busy, process)
    cluster.stop()
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, errors
    # The last one if it was lost between two pipelines.
    sentences = "scheduler at .* was lost|has had no worker|there is no Dask scheduler at"
    assert re.search(f"error: .*({sentences})", errors), errors
    assert "Traceback" not in errors
    assert os.listdir(tmp_path) == []
