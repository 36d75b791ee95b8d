"""What is printed while work goes on: on a terminal, and anywhere else."""

import os
import re
import subprocess
import sys

import pytest

from mptrec_tf import progress
from mptrec_tf.progress import counting, fitted

TASKS = [f"task_{i}" for i in range(30)]
PARTS = [f"{task}: loss 0.1234, AUC 0.5678" for task in TASKS]
CODE = f"""
from mptrec_tf.progress import EpochProgress, counting
shown = EpochProgress("joint", 3, 10)
shown.start(0)
for epoch in range(2):
    shown.show(epoch, 0)
    shown.say(epoch, {PARTS})
shown.end(2)
shown.stop()
with counting("preparing", 100) as on_rows:
    on_rows(60)
    on_rows(50)
"""
LINES = [f"joint   epoch   {n} of 3   {'   '.join(PARTS)}" for n in (1, 2)]


@pytest.fixture
def on_a_terminal(run_on_terminal):
    """Returns what CODE prints on a terminal of 80 columns."""

    def run(**environment):
        status, printed = run_on_terminal([sys.executable, "-c", CODE], **environment)
        assert status == 0
        return printed

    return run


def test_off_a_terminal_an_epoch_is_one_line():
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "COLUMNS": "80", "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines() == [*LINES, "preparing: 110 rows, 0 s"]
    assert done.stdout == ""


def test_a_dumb_terminal_gets_the_lines_alone(on_a_terminal):
    printed = on_a_terminal(TERM="dumb")
    assert printed.splitlines() == [*LINES, "preparing: 110 rows, 0 s"]


def test_a_terminal_has_bars_and_breaks_no_number(on_a_terminal):
    printed = on_a_terminal()
    assert "━" in printed
    assert re.search(r"\x1b\[3\d", printed)  # colours
    for part in PARTS:
        assert printed.count(part) == 2
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed)
    lines = [line for line in re.split(r"[\r\n]", text) if "loss" in line]
    assert max(map(len, lines)) < 80
    assert lines[0].startswith("joint   epoch   1 of 3   task_0: loss")


def test_no_color_takes_colours_and_leaves_the_bar(on_a_terminal):
    printed = on_a_terminal(NO_COLOR="1")
    assert "━" in printed
    assert not re.search(r"\x1b\[[0-9;]*3\d", printed)


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (80, "run   a: 1   b: 2"),
        (17, "run   a: 1\n    b: 2"),  # the last column stays free
        (4, "run\n    a: 1\n    b: 2"),
    ],
)
def test_parts_are_not_broken(width, text):
    assert fitted(["run", "a: 1", "b: 2"], width) == text


def test_long_work_prints_its_progress(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    with counting("comparing", 100) as on_rows:
        on_rows(40)
        on_rows(70)
    assert capsys.readouterr().err.splitlines() == [
        "comparing: 40 of about 100 rows, 0 s",
        "comparing: 110 rows, 0 s",
        "comparing: 110 rows, 0 s",
    ]


def test_work_that_fails_is_not_reported_as_done(capsys):
    def fail():
        with counting("comparing", 0, "steps") as on_steps:
            on_steps(1)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    assert capsys.readouterr().err == ""
