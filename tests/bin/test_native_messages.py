"""Messages of native code on standard error are shown only if they explain a crash."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTES = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1700000000.000001 1 device_compiler.h:196] Compiled cluster using XLA!\n"
    b"2026-01-01 00:00:00.000001: W external/xla/service.cc:1] odd\n"
)
FATAL = b"F0000 00:00:1700000000.000002 1 tensor.cc:1] Check failed: a == b\n"
CODE = """
import os, signal, sys
from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

def main(_):
    print("begins", file=sys.stderr)
    os.write(2, {notes!r})
    os.write(2, {native})
    print("own words", file=sys.stderr)
    {end}

sys.argv = ["mptrec-toy"]
program.run(main)
"""
TITLE = "mptrec-toy: the last messages of native code before the crash:"
SHOWN = f"{TITLE}\n  {FATAL.decode()}"


def run(end, native=FATAL, **environment):
    """Runs a program that writes some bytes, or those of an expression, and then ends."""
    native = repr(native) if isinstance(native, bytes) else native
    code = CODE.format(notes=NOTES, native=native, end=end)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment or None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "status", "more"),
    [
        ("return", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise InputError('this is odd.')", 1, "mptrec-toy: error: this is odd.\n"),
        (
            "raise KeyboardInterrupt",
            130,
            "interrupted; start again with the same flags to continue\n",
        ),
        ("raise BrokenPipeError", -signal.SIGPIPE, ""),
    ],
)
def test_an_orderly_end_shows_no_native_message(end, status, more):
    done = run(end)
    assert done.returncode == status
    assert done.stderr == f"begins\nown words\n{more}"


def test_an_abort_is_explained():
    done = run("os.abort()")
    assert done.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in done.stderr
    assert SHOWN in done.stderr
    assert "XLA" not in done.stderr


def test_a_signal_is_explained_by_messages_that_are_not_notes():
    for native, more in ((FATAL, SHOWN), (b"", "")):
        done = run("os.kill(os.getpid(), signal.SIGKILL)", native)
        assert done.returncode == -signal.SIGKILL
        assert done.stderr == f"begins\nown words\n{more}"


def test_an_unhandled_error_has_its_traceback_and_the_messages():
    done = run("raise RuntimeError('odd')")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("RuntimeError: odd")
    assert SHOWN in done.stderr


def test_the_last_of_many_messages_are_shown():
    native = r"b''.join(b'line %d\n' % n for n in range(100_000)) + b'half a line'"
    done = run("raise RuntimeError('odd')", native)
    shown = done.stderr.partition(f"{TITLE}\n")[2].splitlines()[:40]
    assert shown == [*(f"  line {n}" for n in range(99_961, 100_000)), "  half a line"]


def test_notes_are_shown_if_the_environment_enables_them():
    done = run("return", TF_CPP_MIN_LOG_LEVEL="0", PYTHONPATH=str(ROOT))
    assert done.stderr == f"begins\n{(NOTES + FATAL).decode()}own words\n"


def test_logs_of_python_go_where_they_went():
    done = run("from absl import logging; logging.error('logged %d', 1)", b"")
    assert re.fullmatch(
        r"begins\nown words\nE\d{4} .*\] logged 1\n",
        done.stderr,
    )


@pytest.fixture(scope="module")
def pretraining(prepared_synthetic, tmp_path_factory):
    """A function that returns the command of a short pre-training."""
    folder = tmp_path_factory.mktemp("native_messages")
    flags = [f"--data={prepared_synthetic}", "--tasks=click,like", "--epochs=2"]

    def command(name):
        output = f"--output_dir={folder / name}"
        return [sys.executable, "-m", "mptrec_tf.bin.pretrain", *flags, output]

    return command


def test_a_training_in_a_pipe_writes_its_own_lines_only(pretraining):
    done = subprocess.run(pretraining("pipe"), cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert sum(line.startswith("pre-training   epoch   ") for line in lines) == 2
    assert all(line.startswith("pre-training   ") for line in lines), done.stderr
    assert "Best epoch" in done.stdout


def test_a_training_on_a_terminal_writes_its_own_lines_only(pretraining, run_on_terminal):
    status, written = run_on_terminal(pretraining("terminal"))
    assert status == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    assert any("━" in line for line in lines)
    # The bar, a line for each epoch, and the rest of a wrapped line.
    own = re.compile(r"pre-training|(?:click|like|loss|val_|validation|\d|━|╸|╺)")
    assert not [line for line in lines if not own.match(line)], text
    for word in ("absl", "XLA", "I0000", "TensorFlow"):
        assert word not in text
