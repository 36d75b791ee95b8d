"""Outputs that are links, pipes, terminals and open descriptors."""

import os
import pty
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.storage.destinations import is_standard_output, resolve_destination
from mptrec_tf.storage.directories import (
    check_absent,
    check_writable,
    create_directory,
    create_file,
    write_file,
)


def names(folder):
    return sorted(os.listdir(folder))


def test_the_target_of_a_link_is_written(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("there/second.csv")
    (tmp_path / "there/second.csv").symlink_to("real.csv")
    check_writable(f"{tmp_path}/link.csv")
    with create_file(f"{tmp_path}/link.csv") as file:
        file.write("new")
        assert (tmp_path / "there/real.csv").read_text() == "old"
        assert any(name.startswith("real.csv.incomplete-") for name in names(tmp_path / "there"))
    assert (tmp_path / "there/real.csv").read_text() == "new"
    assert os.readlink(tmp_path / "link.csv") == "there/second.csv"
    assert os.readlink(tmp_path / "there/second.csv") == "real.csv"
    assert names(tmp_path) == ["link.csv", "there"]
    assert names(tmp_path / "there") == ["real.csv", "second.csv"]


def test_a_link_to_a_missing_file(tmp_path):
    (tmp_path / "link").symlink_to("new")
    check_writable(f"{tmp_path}/link")
    write_file(f"{tmp_path}/link", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_bytes() == b"1"
    (tmp_path / "lost").symlink_to("none/new")
    with pytest.raises(InputError, match=r"cannot write .*lost: there is no directory .*none\."):
        check_writable(f"{tmp_path}/lost")


def test_a_folder_that_is_a_link(tmp_path):
    """`..` goes up from the link's target, as everywhere."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    write_file(f"{tmp_path}/link/../x", "1")
    write_file(f"{tmp_path}/link/y", "2")
    assert names(tmp_path) == ["a", "link"]
    assert names(tmp_path / "a") == ["b", "x"]
    assert names(tmp_path / "a/b") == ["y"]


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(InputError, match=r"cannot write .*a: its links lead in a circle"):
        check_writable(f"{tmp_path}/a")
    with pytest.raises(InputError, match=r"cannot write .*a: its links lead in a circle"):
        write_file(f"{tmp_path}/a", "1")
    for call in (check_absent, lambda path: create_directory(path).__enter__()):
        with pytest.raises(InputError, match=r"cannot look into .*a: "):
            call(f"{tmp_path}/a")
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("slash", ["", "/", "//"])
@pytest.mark.parametrize("there", [True, False])
def test_an_output_directory_that_is_a_link(tmp_path, slash, there):
    (tmp_path / "disk").mkdir()
    if there:
        (tmp_path / "disk/real").mkdir(mode=0o750)
        (tmp_path / "disk/real").chmod(0o2750)
    (tmp_path / "link").symlink_to("disk/real")
    check_absent(f"{tmp_path}/link{slash}")
    with create_directory(f"{tmp_path}/link{slash}") as staging:
        write_file(f"{staging}/a", "text")
        assert os.path.dirname(staging) == str(tmp_path / "disk")
    assert os.readlink(tmp_path / "link") == "disk/real"
    assert names(tmp_path) == ["disk", "link"]
    assert names(tmp_path / "disk") == ["real"]
    assert (tmp_path / "disk/real/a").read_text() == "text"
    if there:
        assert stat.S_IMODE((tmp_path / "disk/real").stat().st_mode) == 0o2750


def test_a_base_path_that_is_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to("disk")
    with create_directory(f"{tmp_path}/model/1") as staging:
        write_file(f"{staging}/a", "text")
    assert names(tmp_path) == ["disk", "model"]
    assert names(tmp_path / "disk") == ["1"]


def test_a_link_to_a_directory_that_is_not_empty(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("mine")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(InputError, match=r"link/ already exists"):
        check_absent(f"{tmp_path}/link/")


@pytest.mark.parametrize("spelling", [".", "./", "../here", "link"])
def test_the_working_directory_cannot_be_replaced(tmp_path, monkeypatch, spelling):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    if spelling == "link":
        (tmp_path / "link").symlink_to("here")
        spelling = "../link"
    with pytest.raises(InputError, match="cannot be replaced; name a new directory in it"):
        check_absent(spelling)
    assert names(tmp_path / "here") == []


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_file(f"{tmp_path}/new", "1")
        (tmp_path / "old").write_text("1")
        (tmp_path / "old").chmod(0o640)
        write_file(f"{tmp_path}/old", "2")
        with create_directory(f"{tmp_path}/folder"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"new": 0o666 & ~umask, "old": 0o640, "folder": 0o777 & ~umask}


def read_in_background(path):
    received = []
    thread = threading.Thread(target=lambda: received.append(Path(path).read_bytes()))
    thread.start()
    return thread, received


@pytest.mark.parametrize("through", ["itself", "link"])
@pytest.mark.parametrize("content", ["a,b\n1,2\n", b"\x00\xff"])
def test_a_named_pipe_is_written_and_stays(tmp_path, through, content):
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o640)
    if through == "link":
        path = tmp_path / "link"
        path.symlink_to("pipe")
    before = os.stat(path)
    check_writable(str(path))
    thread, received = read_in_background(path)
    write_file(str(path), content)
    thread.join()
    assert received == [content.encode() if isinstance(content, str) else content]
    assert stat.S_ISFIFO(os.stat(path).st_mode)
    assert (os.stat(path).st_ino, os.stat(path).st_mode) == (before.st_ino, before.st_mode)
    assert names(tmp_path) == (["link", "pipe"] if through == "link" else ["pipe"])


def test_a_terminal_is_written_and_stays(tmp_path):
    ours, theirs = pty.openpty()
    path = os.ttyname(theirs)
    (tmp_path / "link").symlink_to(path)
    for spelling in (path, str(tmp_path / "link")):
        check_writable(spelling)
        write_file(spelling, "text\n")
        assert os.read(ours, 100) == b"text\r\n"
        assert os.ttyname(theirs) == path
    os.close(ours)
    os.close(theirs)


SPELLINGS = [
    "/dev/fd/{}",
    "/proc/self/fd/{}",
    "/proc/thread-self/fd/{}",
    "/proc/{process}/fd/{}",
    "//dev/./fd/{}",
    "{folder}/link",
    "{folder}/links/{}",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_open_file_is_written_at_its_position(tmp_path, spelling):
    """An open file has readers and a position: it is neither replaced nor truncated."""
    (tmp_path / "inside").mkdir()
    file = tmp_path / "inside/out.csv"
    with open(file, "w") as opened:
        opened.write("before\n")
        opened.flush()
        (tmp_path / "link").symlink_to(f"/dev/fd/{opened.fileno()}")
        (tmp_path / "links").symlink_to("/proc/self/fd")
        path = spelling.format(opened.fileno(), folder=tmp_path, process=os.getpid())
        number = file.stat().st_ino
        check_writable(path)
        write_file(path, "data\n")
        opened.write("after\n")
    assert file.read_text() == "before\ndata\nafter\n"
    assert file.stat().st_ino == number
    assert names(tmp_path / "inside") == ["out.csv"]


def test_an_open_pipe_and_an_open_socket(tmp_path):
    reading, writing = os.pipe()
    write_file(f"/dev/fd/{writing}", "text")
    assert os.read(reading, 100) == b"text"
    with pytest.raises(InputError, match="open for reading only"):
        check_writable(f"/dev/fd/{reading}")
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        write_file(f"/dev/fd/{writing}", "text")
    os.close(writing)
    with pytest.raises(InputError, match=r"cannot write /dev/fd/\d+: it is not open"):
        check_writable(f"/dev/fd/{writing}")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        check_writable(f"/dev/fd/{ours.fileno()}")
        write_file(f"/dev/fd/{ours.fileno()}", "text")
        assert theirs.recv(100) == b"text"


def test_files_of_another_process_are_written_directly(tmp_path):
    """Paths of another process in /proc cannot be replaced."""
    code = "import sys; sys.stdin.read()"
    with open(tmp_path / "theirs", "w") as theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=theirs
        )
    number = (tmp_path / "theirs").stat().st_ino
    write_file(f"/proc/{process.pid}/fd/1", "text")
    process.communicate()
    assert (tmp_path / "theirs").read_text() == "text"
    assert (tmp_path / "theirs").stat().st_ino == number
    assert names(tmp_path) == ["theirs"]


def test_paths_of_proc_that_lead_to_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("/proc/self/cwd/a", "1")
    assert resolve_destination("/proc/self/cwd/a").is_file
    assert names(tmp_path) == ["a"]


def test_devices_of_this_machine():
    """Only checked, not written: were one taken for a file, root would replace it."""
    assert not resolve_destination("/dev/null").is_file
    assert not resolve_destination("//dev/../dev/null").is_file
    assert not resolve_destination("/dev/kmsg.csv").is_file
    check_writable("/dev/null")
    with pytest.raises(InputError, match="there is no device /dev/sdtout"):
        check_writable("/dev/sdtout")
    with pytest.raises(InputError, match="is a directory"):
        check_writable("/dev/fd/")


def test_a_socket_is_rejected(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/socket")
        with pytest.raises(InputError, match="it is a socket"):
            check_writable(f"{tmp_path}/socket")
        with pytest.raises(InputError, match="cannot write"):
            write_file(f"{tmp_path}/socket", "text")
    assert names(tmp_path) == ["socket"]


def test_a_file_system_in_memory_holds_files():
    path = f"/dev/shm/mptrec-test-{os.getpid()}"
    assert resolve_destination(path).is_file


def test_an_output_that_is_an_input(tmp_path):
    (tmp_path / "rows.csv").write_text("a\n1\n")
    (tmp_path / "other.csv").write_text("a\n1\n")
    (tmp_path / "link").symlink_to("rows.csv")
    os.link(tmp_path / "rows.csv", tmp_path / "second_name")
    rows = {f"{tmp_path}/rows.csv": "an input"}
    for name in ("rows.csv", "link", "second_name", "../" + tmp_path.name + "/rows.csv"):
        with pytest.raises(InputError, match="is an input too; name another file"):
            check_writable(f"{tmp_path}/{name}", rows)
    check_writable(f"{tmp_path}/other.csv", rows)
    check_writable(f"{tmp_path}/new.csv", rows)
    with pytest.raises(InputError, match="is what is rejected too"):
        check_writable(f"{tmp_path}/new", {f"{tmp_path}/./new": "what is rejected"})
    with pytest.raises(InputError, match="is what is rejected too"):
        check_writable("-", {"-": "what is rejected"})
    check_writable("/dev/null", {"/dev/null": "what is rejected"})


def test_standard_output_has_several_names(capfd):
    sys.stdout.flush()
    write_file("-", "data\n")
    os.dup2(1, copy := os.dup(1))
    write_file(f"/dev/fd/{copy}", "more\n")
    assert is_standard_output("-")
    assert is_standard_output("/dev/stdout")
    assert is_standard_output(f"/dev/fd/{copy}")
    assert not is_standard_output("/dev/null")
    assert not is_standard_output("./-")
    os.close(copy)
    assert capfd.readouterr().out == "data\nmore\n"


def test_a_file_named_like_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_file("./-", "text")
    assert names(tmp_path) == ["-"]
