import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import create_directory, exclusive_lock, write_file

# Code of a process that writes to the path in its first argument until it is killed.
WRITE = {
    "directory": """
import os, signal, sys
from mptrec_tf.storage.directories import create_directory, write_file
with create_directory(sys.argv[1]) as staging:
    write_file(f"{staging}/a", "text")
    os.mkdir(f"{staging}/tmp-1")
    print("writing", flush=True)
    signal.pause()
""",
    "file": """
import signal, sys
from mptrec_tf.storage.directories import create_file
with create_file(sys.argv[1]) as file:
    file.write("half")
    file.flush()
    print("writing", flush=True)
    signal.pause()
""",
}


@contextlib.contextmanager
def writing(kind, place):
    command = [sys.executable, "-c", WRITE[kind], str(place)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def names(folder):
    return sorted(os.listdir(folder))


def write(kind, place):
    if kind == "file":
        write_file(str(place), "whole")
    else:
        with create_directory(str(place)) as staging:
            write_file(f"{staging}/a", "whole")


@pytest.mark.parametrize("kind", WRITE)
def test_leftovers_of_a_killed_run_are_removed_by_the_next_one(kind, tmp_path):
    with writing(kind, tmp_path / "x") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    [leftover] = names(tmp_path)
    assert leftover.startswith("x.incomplete-")
    write(kind, tmp_path / "x")
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("kind", WRITE)
def test_staging_files_of_a_running_process_stay(kind, tmp_path):
    with writing(kind, tmp_path / "x"):
        [staging] = names(tmp_path)
        write(kind, tmp_path / "x")
        assert names(tmp_path) == ["x", staging]


def test_only_leftovers_of_an_earlier_version_are_removed(tmp_path):
    """Earlier versions took no lock."""
    (tmp_path / "x.incomplete-514aa624/tmp-1/deep").mkdir(parents=True)
    (tmp_path / "x.incomplete-00000000").write_text("half")
    others = [
        "y.incomplete-514aa624",
        "xx.incomplete-514aa624",
        "x.incomplete-514aa62",
        "x.incomplete-514aa624.csv",
        "x.incomplete-mine",
        "xzincomplete-514aa624",
    ]
    for other in others:
        (tmp_path / other).write_text("mine")
    os.symlink(tmp_path / "y.incomplete-514aa624", tmp_path / "x.incomplete-aaaaaaaa")
    os.mkfifo(tmp_path / "x.incomplete-bbbbbbbb")
    write_file(str(tmp_path / "x"), "whole")
    remaining = [*others, "x", "x.incomplete-aaaaaaaa", "x.incomplete-bbbbbbbb"]
    assert names(tmp_path) == sorted(remaining)


def test_leftovers_of_all_versions_are_removed_by_the_next_version(tmp_path):
    (tmp_path / "2.incomplete-514aa624/variables").mkdir(parents=True)
    (tmp_path / "3.incomplete-514aa624").mkdir()
    (tmp_path / "x.incomplete-514aa624").mkdir()
    (tmp_path / "4").mkdir()
    with writing("directory", tmp_path / "5"):
        staging = next(name for name in names(tmp_path) if name.startswith("5.incomplete-"))
        with create_directory(str(tmp_path / "6")):
            pass
        assert names(tmp_path) == ["4", staging, "6", "x.incomplete-514aa624"]


def test_concurrent_writers_do_not_disturb_each_other(tmp_path):
    """No writer takes another's staging file for a leftover."""
    errors = []

    def work(number):
        for i in range(40):
            try:
                write_file(str(tmp_path / "file"), f"{number} {i}")
                with create_directory(str(tmp_path / f"{number}{i:03}")) as staging:
                    write_file(f"{staging}/a", "text")
            except Exception as error:  # a thread's error would be lost
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    versions = [f"{number}{i:03}" for number in range(1, 7) for i in range(40)]
    assert names(tmp_path) == [*versions, "file"]
    assert all((tmp_path / version / "a").read_text() == "text" for version in versions)


def test_two_writers_of_the_same_directory(tmp_path):
    """The first to finish wins; the other fails and leaves nothing."""

    def second():
        with create_directory(f"{tmp_path}/x") as staging:
            write_file(f"{staging}/a", "second")
            with create_directory(f"{tmp_path}/x") as other:
                write_file(f"{other}/a", "first")

    with pytest.raises(InputError, match="x already exists: another run created it meanwhile"):
        second()
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x/a").read_text() == "first"


def test_a_directory_is_locked_until_its_process_ends(tmp_path):
    code = """
import signal, sys
from mptrec_tf.storage.directories import exclusive_lock
with exclusive_lock(sys.argv[1]):
    print("locked", flush=True)
    signal.pause()
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    with (
        pytest.raises(InputError, match="another process is at work"),
        exclusive_lock(str(tmp_path)),
    ):
        pytest.fail("the block must not run")
    process.kill()
    process.wait()
    process.stdout.close()
    with exclusive_lock(str(tmp_path)):
        pass


def test_a_directory_that_cannot_be_locked(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot write .*none: "),
        exclusive_lock(f"{tmp_path}/none"),
    ):
        pytest.fail("the block must not run")
