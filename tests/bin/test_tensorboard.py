"""TensorBoard starts on the logs of a run, as README says, and shows what was logged."""

import json
import re
import subprocess
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest


@pytest.fixture
def backbone(synthetic_runs):
    return synthetic_runs.backbone


def wait_for(seconds, read, process, log):
    """Waits until `read` returns a value; a failure shows the log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := read():
            return value
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {log.read_text()}")


def request(address):
    with urllib.request.urlopen(address, timeout=60) as response:
        return json.load(response)


def test_tensorboard_shows_the_scalars_of_a_run(backbone, tmp_path):
    log = tmp_path / "log.txt"
    command = [Path(sysconfig.get_path("scripts"), "tensorboard"), f"--logdir={backbone / 'logs'}"]
    with open(log, "w") as file:
        process = subprocess.Popen([*command, "--port=0"], stdout=file, stderr=file)
    try:
        [address] = wait_for(
            120, lambda: re.findall(r"http://\S+:\d+/", log.read_text()), process, log
        )
        tags = wait_for(60, lambda: request(f"{address}data/plugin/scalars/tags"), process, log)
        # Keras has a run for each of training and validation, and takes the "val_" off.
        assert {"epoch_loss/click", "epoch_gate/click", "epoch_loss/like"} <= set(tags["train"])
        assert {"epoch_auc/click", "epoch_auc/like"} <= set(tags["validation"])
        query = "run=validation&tag=epoch_auc%2Fclick"
        points = request(f"{address}data/plugin/scalars/scalars?{query}")
        written = json.loads((backbone / "backbone.json").read_text())["training"]["history"]
        assert [step for _, step, _ in points] == [0, 1]
        assert [value for *_, value in points] == pytest.approx(
            [logs["val_auc/click"] for logs in written]
        )
    finally:
        process.terminate()
        process.wait(30)
