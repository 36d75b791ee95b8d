"""A training by two workers and two parameter servers, over loopback, against one process.

To start processes takes most of the time, so one training answers all questions: a server is
killed after its first epoch, all are started again, and a worker is killed after the second.
"""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.serving.testing.local_server import find_free_port

SPEC = """
name: rows
categorical: [user]
numeric: [near, fresh]
tasks:
  - {name: click, label: click, positive: [1], negative: [0]}
  - {name: like, label: like, positive: [1], negative: [0]}
"""
USERS = 2000
SPLITS = {"train": 12_000, "validation": 4_000, "test": 10}
# The table is 188 KiB, two parts of 64 KiB or more.
SHAPE = ("--embedding_width=24", "--expert_units=12,6", "--tower_units=5")
FLAGS = (
    *("--tasks=click,like", "--epochs=5", "--patience=5", "--batch_size=100", *SHAPE),
    # So much that the order of batches hardly changes where the training ends.
    *("--learning_rate=0.003", "--l2_embedding=1", "--l2_embedding_over=batch"),
)
STRATEGY = "--strategy=parameter_server"
ONLINE = "--assignment=online"  # what workers have where nothing else is given
SECONDS = 400
PROCESSES = (("ps", 0), ("ps", 1), ("worker", 0), ("worker", 1), ("chief", 0))


@pytest.fixture(scope="module")
def data(run_program, tmp_path_factory):
    """Clicks that a line through two numbers explains, and the user a little."""
    folder, draw = tmp_path_factory.mktemp("servers"), np.random.default_rng(1)
    (folder / "spec.yaml").write_text(SPEC)
    of_user = draw.choice([-0.5, 0.5], USERS)
    for split, count in SPLITS.items():
        user, near, fresh = draw.integers(0, USERS, count), *draw.normal(size=(2, count))
        lines = ["user,near,fresh,click,like"]
        for row in zip(user, near, fresh, draw.random(count), draw.random(count), strict=True):
            click = of_user[row[0]] + 4 * row[1] + 2 * row[2] > np.log(row[3] / (1 - row[3]))
            like = of_user[row[0]] + 2 * row[1] - 4 * row[2] > np.log(row[4] / (1 - row[4]))
            lines.append(f"u{row[0]},{row[1]:.4f},{row[2]:.4f},{click:d},{like:d}")
        (folder / f"{split}.csv").write_text("\n".join(lines))
    files = [f"--{split}_files={folder}/{split}.csv" for split in SPLITS]
    output = f"--output_dir={folder}/data"
    run_program("prepare", f"--spec={folder}/spec.yaml", *files, "--shards=4", output)
    return f"{folder}/data"


class Cluster:
    """The processes of one training; those that are left are killed in the end."""

    def __init__(self, data, output):
        self.output = str(output)
        self._flags = (f"--data={data}", f"--output_dir={output}", *FLAGS, STRATEGY)
        self._spec = {"chief": [], "worker": [], "ps": []}
        for role, _ in PROCESSES:
            self._spec[role].append(f"127.0.0.1:{find_free_port()}")
        self.processes = {}

    def __enter__(self):
        for role, index in PROCESSES:
            self.start(role, index)
        return self

    def __exit__(self, *error):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()

    def start(self, role, index):
        config = {"cluster": self._spec, "task": {"type": role, "index": index}}
        self.processes[role, index] = subprocess.Popen(
            [sys.executable, "-m", "mptrec_tf.bin.pretrain", *self._flags],
            env=os.environ
            | {"TF_CONFIG": json.dumps(config), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_epoch(self, epochs):
        """Waits until so many epochs are saved."""
        until, chief = time.monotonic() + SECONDS, self.processes["chief", 0]
        while count_saved(self.output) < epochs:
            assert chief.poll() is None, chief.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)

    def kill(self, role, index):
        process = self.processes.pop((role, index))
        process.kill()
        process.communicate()

    def end(self, status=0):
        """What each process printed, and to which stream, once all have ended."""
        printed = {}
        for name, process in sorted(self.processes.items()):
            printed[name] = process.communicate(timeout=SECONDS)
            assert process.returncode == status, (name, printed[name])
        return printed


def count_saved(output):
    state = f"{output}.training/state.json"
    if not os.path.exists(state):
        return 0
    with open(state) as file:
        return len(json.load(file)["history"])


def read_scores(directory):
    with open(f"{directory}/backbone.json") as file:
        training = json.load(file)["training"]
    assert len(training["history"]) == 5
    best = training["history"][training["best_epoch"]]
    return [best[f"val_auc/{task}"] for task in ("click", "like")]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("together") / "backbone"


@pytest.fixture(scope="module")
def without_a_server(data, output):
    """What each process printed after a parameter server was killed."""
    with Cluster(data, output) as cluster:
        cluster.wait_for_epoch(1)
        cluster.kill("ps", 1)
        printed = cluster.end(status=1)
    assert not output.exists()
    return printed


@pytest.fixture(scope="module")
def started_again(data, output, without_a_server):
    """What each process printed in the second run, in which a worker is killed and started."""
    saved = count_saved(output)
    assert saved > 0
    with Cluster(data, output) as cluster:
        cluster.wait_for_epoch(saved + 1)
        cluster.kill("worker", 1)
        cluster.start("worker", 1)
        return cluster.end(), saved


def test_a_server_that_is_gone_ends_the_run(without_a_server):
    assert (
        "error: one of the 2 parameter servers, which hold the weights, ended or does not answer; "
        "start all processes again" in without_a_server["chief", 0][1]
    )
    for role, index in (("ps", 0), ("worker", 0), ("worker", 1)):
        assert "ended before the training did; start all" in without_a_server[role, index][1]


def test_a_worker_that_is_gone_does_not(output, started_again):
    printed, saved = started_again
    of_chief = printed["chief", 0]
    assert f"epoch   {saved} of 5" not in of_chief[1]
    assert "epoch   5 of 5" in of_chief[1]
    assert re.search("note: worker 1 at .* ended or does not answer; its files go to", of_chief[1])
    assert "UnavailableError" not in of_chief[1]
    assert "backbone" in of_chief[0]
    for role, index in PROCESSES[:-1]:
        assert printed[role, index][0].startswith(f"{role} {index}: the training has ended")
    assert os.listdir(output.parent) == ["backbone"]


def test_as_good_as_one_process(data, output, started_again, run_program, tmp_path):
    run_program("pretrain", f"--data={data}", *FLAGS, ONLINE, f"--output_dir={tmp_path}/one")
    np.testing.assert_allclose(read_scores(output), read_scores(f"{tmp_path}/one"), atol=0.002)
    of_one = load_backbone(f"{tmp_path}/one").model.named_weights()
    weights = load_backbone(str(output)).model.named_weights()
    assert {k: w.shape for k, w in weights.items()} == {k: w.shape for k, w in of_one.items()}
