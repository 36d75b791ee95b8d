"""A renewal that is killed at random moments: production stays whole, the result is the same."""

import multiprocessing
import random
import shutil
import signal
import time
from pathlib import Path

import forked_program
import numpy as np
import pytest

from mptrec_tf.export.integrity import check_version
from mptrec_tf.renewal.refresh import COMPARISON

FILES = ("backbone/weights.npz", "tasks/share/weights.npz", "tasks/seconds/weights.npz")
KILLS = 5
_FORKS = multiprocessing.get_context("forkserver")
_DEADLINE = 300  # seconds


def start(base, rows, directory, folder):
    """Starts a renewal in a process, and waits until it begins."""
    begun = folder / "begun"
    begun.unlink(missing_ok=True)
    files = {split: [str(rows / f"{split}.csv")] for split in ("train", "validation", "test")}
    process = _FORKS.Process(
        target=forked_program.refresh,
        args=(str(base), files, str(directory), str(begun), str(folder / "output")),
    )
    process.start()
    end = time.monotonic() + _DEADLINE
    while not begun.exists():
        assert process.is_alive(), (folder / "output").read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    return process


@pytest.fixture(scope="module")
def killed(trained, month, tmp_path_factory, digest):
    """Renewals with five kills in all; yields pairs of a base path and the renewal's directory.

    A renewal is killed until it ends; if that takes fewer kills, another one is begun.
    """
    folder, moments = tmp_path_factory.mktemp("killed"), random.Random(7)
    before, ended, kills, longest = digest(trained), [], 0, 2.0
    while kills < KILLS:
        base, directory = folder / f"shop-{len(ended)}", folder / f"refresh-{len(ended)}"
        shutil.copytree(trained, base)
        while True:
            process = start(base, month(1), directory, folder)
            process.join(moments.uniform(0, longest) if kills < KILLS else _DEADLINE)
            if process.is_alive():
                assert kills < KILLS, "a renewal does not end"
                process.kill()
                process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == -signal.SIGKILL, (folder / "output").read_text()
            kills += 1
            longest *= 1.3  # some moments are late in a renewal, whatever the machine
            for version in base.glob("[0-9]*"):  # whole, or not there
                if version.name.isdigit():
                    check_version(str(version), required=True)
            assert digest(base / "1") == digest(trained / "1")
        ended.append((base, directory))
    assert digest(trained) == before
    return ended


def test_a_killed_renewal_ends_with_the_same_bits(renewed, killed):
    expected = (renewed[0] / COMPARISON).read_text()
    for base, directory in killed:
        for name in FILES:
            with np.load(renewed[0] / name) as whole, np.load(directory / name) as after:
                assert whole.files == after.files
                for key in whole.files:
                    np.testing.assert_array_equal(whole[key], after[key], f"{name} {key}")
        compared = (
            (directory / COMPARISON).read_text().replace(str(base), str(renewed[1].base_path))
        )
        assert compared == expected
        assert not list(directory.rglob("*.training"))
        assert sorted(path.name for path in base.iterdir() if path.name.isdigit()) == ["1", "2"]
        check_version(str(base / "2"), required=True)


def test_what_a_kill_leaves_behind_is_no_version(killed):
    for base, _ in killed:
        others = [path for path in Path(base).iterdir() if not path.name.isdigit()]
        assert all(".incomplete-" in path.name for path in others)
