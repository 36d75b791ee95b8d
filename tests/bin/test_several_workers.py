"""A training by two processes on one batch, over loopback, against the same by one."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.serving.testing.local_server import find_free_port

# 901 rows: the parts of each epoch's last batch differ. Watch times are there for clicked rows
# alone, and bags and histories have any number of values.
ROWS = 901
FLAGS = (
    *("--tasks=click,watch", "--epochs=3", "--patience=3", "--batch_size=50"),
    *("--expert_units=12,6", "--tower_units=5", "--expert_dropout=0", "--tower_dropout=0"),
)
SECONDS = 240


@pytest.fixture(scope="module")
def data(run_program, tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("workers") / "data")
    run_program(
        "prepare", "--dataset=synthetic_logs", f"--rows={ROWS}", f"--output_dir={directory}"
    )
    return directory


def start(data, output, index, addresses, flags=()):
    task = {"type": "worker", "index": index}
    config = json.dumps({"cluster": {"worker": addresses}, "task": task})
    command = [sys.executable, "-m", "mptrec_tf.bin.pretrain", f"--data={data}", *FLAGS, *flags]
    return subprocess.Popen(
        [*command, "--strategy=multi_worker", f"--output_dir={output}"],
        env=os.environ | {"TF_CONFIG": config, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(data, output, *flags):
    addresses = [f"127.0.0.1:{find_free_port()}" for _ in range(2)]
    return [start(data, output, index, addresses, flags) for index in range(2)]


def end(process, status=0):
    printed, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == status, errors
    return printed, errors


def read_losses(directory):
    with open(f"{directory}/backbone.json") as file:
        history = json.load(file)["training"]["history"]
    return [[logs[f"loss/{task}"] for task in ("click", "watch")] for logs in history]


@pytest.fixture(scope="module")
def together(data, tmp_path_factory):
    """The backbone of two workers, and what each printed."""
    output = str(tmp_path_factory.mktemp("together") / "backbone")
    return output, [end(process) for process in start_two(data, output)]


def check_same_training(output, of_one):
    # 19 steps an epoch, 57 in all.
    np.testing.assert_allclose(read_losses(output), read_losses(of_one), atol=1e-4)
    expected = load_backbone(of_one).model.named_weights()
    for name, weight in load_backbone(output).model.named_weights().items():
        np.testing.assert_allclose(weight, expected[name], atol=2e-3, err_msg=name)


def test_two_workers_train_what_one_process_does(data, together, run_program, tmp_path):
    run_program("pretrain", f"--data={data}", *FLAGS, f"--output_dir={tmp_path}/one")
    check_same_training(together[0], f"{tmp_path}/one")


def test_so_they_do_where_steps_change_only_the_rows_of_their_batch(data, run_program, tmp_path):
    flags = ("--l2_embedding_over=batch",)
    for process in start_two(data, f"{tmp_path}/two", *flags):
        end(process)
    run_program("pretrain", f"--data={data}", *FLAGS, *flags, f"--output_dir={tmp_path}/one")
    check_same_training(f"{tmp_path}/two", f"{tmp_path}/one")


def test_the_chief_alone_writes_and_shows_progress(together):
    output, (of_chief, of_other) = together
    assert "epoch   3 of 3" in of_chief[1]
    assert "backbone" in of_chief[0]
    assert of_other[0] == ""
    assert "epoch" not in of_other[1]
    assert os.listdir(os.path.dirname(output)) == ["backbone"]


def test_a_killed_worker_ends_the_run_which_goes_on_to_the_same_bits(data, together, tmp_path):
    output = f"{tmp_path}/backbone"
    chief, other = start_two(data, output)
    state, until = f"{output}.training/state.json", time.monotonic() + SECONDS
    while not os.path.exists(state):
        assert chief.poll() is None, chief.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    _, errors = end(chief, status=1)
    assert "another of the 2 workers ended or does not answer; start all of them again" in errors
    assert not os.path.exists(output)
    for process in start_two(data, output):
        end(process)
    assert load_backbone(output).fingerprint == load_backbone(together[0]).fingerprint


def test_without_a_cluster(run_program, tmp_path):
    flags = (f"--data={tmp_path}", "--tasks=click", f"--output_dir={tmp_path}/out")
    done = run_program("pretrain", *flags, "--strategy=multi_worker", check=False, TF_CONFIG="")
    assert done.returncode == 1
    assert "--strategy=multi_worker needs the environment variable TF_CONFIG" in done.stderr
