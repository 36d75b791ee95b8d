import os

import pytest

from mptrec_tf.data import runners
from mptrec_tf.data.runners import find_user_error, raise_user_errors, use_all_cores
from mptrec_tf.errors import InputError

MANY = 10**9
PROCESSES = "--direct_running_mode=multi_processing"


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("rows", "shards", "workers"),
    [
        (MANY, 100, 8),
        (MANY, 3, 3),  # more would have nothing to read
        (3 * runners._ROWS_OF_WORKER, 100, 3),  # more would take longer to start than they save
        (MANY, 1, None),
        (2 * runners._ROWS_OF_WORKER - 1, 100, None),
        (0, 100, None),  # unknown
    ],
)
def test_workers(rows, shards, workers):
    added = [PROCESSES, f"--direct_num_workers={workers}"] if workers else []
    assert use_all_cores([], rows, shards) == added
    assert use_all_cores(["--runner=DirectRunner"], rows, shards) == [
        "--runner=DirectRunner",
        *added,
    ]


@pytest.mark.parametrize(
    "given",
    [
        ["--runner=FlinkRunner", "--parallelism=4"],
        ["--direct_running_mode=multi_threading"],
        ["--direct_running_mode", "in_memory", "--direct_num_workers=1"],
    ],
)
def test_what_was_chosen_stays(given):
    assert use_all_cores(given, MANY, 100) == given


def test_a_number_of_workers_means_processes():
    assert use_all_cores(["--direct_num_workers=2"], 10, 1) == ["--direct_num_workers=2", PROCESSES]


SENTENCE = "a.csv, line 3: 2 columns, but the header has 3: give what is missing."
# As Beam's runners report an error of a process of their own.
TRACE = f"""\
Error received from SDK harness for instruction bundle_7: Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1498, in process
mptrec_tf.errors.InputError: {SENTENCE} [while running 'Read']

During handling of the above exception, another exception occurred:
"""


@pytest.mark.parametrize(
    "error", [RuntimeError(TRACE), InputError(f"{SENTENCE} [while running 'Read']")]
)
def test_only_the_sentence_is_left(error):
    assert str(find_user_error(error)) == SENTENCE
    with pytest.raises(InputError) as caught, raise_user_errors():
        raise error
    assert str(caught.value) == SENTENCE


def test_other_errors_stay():
    assert find_user_error(RuntimeError("lost a worker")) is None
    with pytest.raises(RuntimeError, match="lost a worker"), raise_user_errors():
        raise RuntimeError("lost a worker")
