"""A training by two workers and two parameter servers, over loopback, against the same by one process.

Starting processes takes most of the time, so that few trainings answer several questions each.
"""

import json
import os
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
    *("--tasks=click,like", "--epochs=3", "--patience=3", "--batch_size=100", *SHAPE),
    # So much that the order of batches hardly changes where the training ends.
    *("--learning_rate=0.003", "--l2_embedding=1", "--l2_embedding_over=batch"),
)
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
        self._flags = (f"--data={data}", f"--output_dir={output}", *FLAGS)
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
            [sys.executable, "-m", "mptrec_tf.bin.pretrain", *self._flags]
            + ["--strategy=parameter_server"],
            env=os.environ
            | {"TF_CONFIG": json.dumps(config), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_first_epoch(self):
        state, until = f"{self.output}.training/state.json", time.monotonic() + SECONDS
        chief = self.processes["chief", 0]
        while not os.path.exists(state):
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


def read_training(directory):
    with open(f"{directory}/backbone.json") as file:
        return json.load(file)["training"]


def read_scores(directory):
    training = read_training(directory)
    best = training["history"][training["best_epoch"]]
    return [best[f"val_auc/{task}"] for task in ("click", "like")]


@pytest.fixture(scope="module")
def together(data, tmp_path_factory):
    """The backbone of a training, and what each process printed."""
    with Cluster(data, tmp_path_factory.mktemp("together") / "backbone") as cluster:
        return cluster.output, cluster.end()


def test_as_good_as_one_process(data, together, run_program, tmp_path):
    run_program("pretrain", f"--data={data}", *FLAGS, ONLINE, f"--output_dir={tmp_path}/one")
    output, _ = together
    np.testing.assert_allclose(read_scores(output), read_scores(f"{tmp_path}/one"), atol=0.002)
    of_one = load_backbone(f"{tmp_path}/one").model.named_weights()
    weights = load_backbone(output).model.named_weights()
    assert {k: w.shape for k, w in weights.items()} == {k: w.shape for k, w in of_one.items()}


def test_all_end_with_the_coordinator(together):
    output, printed = together
    assert "epoch   3 of 3" in printed["chief", 0][1]
    assert "backbone" in printed["chief", 0][0]
    for role, index in PROCESSES[:-1]:
        assert printed[role, index] == (f"{role} {index}: the training has ended.\n", "")
    assert os.listdir(os.path.dirname(output)) == ["backbone"]


def test_workers_may_end_and_servers_may_not(data, tmp_path):
    with Cluster(data, tmp_path / "backbone") as cluster:
        cluster.wait_for_first_epoch()
        cluster.kill("ps", 1)
        printed = cluster.end(status=1)
        assert (
            "error: one of the 2 parameter servers, which hold the weights, ended or does not "
            "answer; start all processes again" in printed["chief", 0][1]
        )
        assert "ended before the training did; start all" in printed["worker", 0][1]
    assert not os.path.exists(cluster.output)
    with Cluster(data, tmp_path / "backbone") as cluster:
        while not os.path.exists(f"{tmp_path}/backbone.training/lock"):
            time.sleep(0.05)
        cluster.kill("worker", 1)
        cluster.start("worker", 1)
        printed = cluster.end()
    assert len(read_training(cluster.output)["history"]) == 3
    assert "epoch   1 of 3" not in printed["chief", 0][1]  # it was saved
