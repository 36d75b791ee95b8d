"""Cells run in processes, after what they need; a failure stops only what needs it."""

import json
import sys
from pathlib import Path

import pytest

from mptrec_tf.benchmark.place import RESULTS, open_place
from mptrec_tf.benchmark.scheduling import Progress, format_duration, list_cells, run_cells
from mptrec_tf.benchmark.sources import RowSource
from mptrec_tf.errors import InputError

# Processes import it by this name.
sys.path.insert(0, str(Path(__file__).parent))
from toy_cells import Alone, Toy

FIRST = Toy("first", 1)
SECOND = Toy("second", 10, after=(FIRST,))
MISTAKE, BUG, KILLED = (Toy(ends, ends=ends) for ends in ("mistake", "bug", "kill"))
HOPELESS = Toy("hopeless", after=(SECOND, KILLED))


def open_toys(directory, **changes):
    return open_place(str(directory), RowSource("synthetic"), {"suite": "toys", **changes})


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All toys, run once: the place, and what was printed."""
    place = open_toys(tmp_path_factory.mktemp("toys") / "out")
    cells = list_cells([Alone("alone", 5), SECOND, HOPELESS, MISTAKE, BUG])
    run_cells(cells, place, workers=2, commit="abc")
    place.collect()
    return place, cells


def test_cells_come_after_what_they_need_and_once():
    cells = list_cells([HOPELESS, SECOND, FIRST])
    assert [cell.name for cell in cells] == ["first", "second", "kill", "hopeless"]


def test_results_hold_what_repeats_them(ran):
    place, _ = ran
    result = place.read(SECOND)
    assert result["total"] == 11  # it read the result of the first
    assert result["cell"] == SECOND.to_plain()
    assert result["cell"]["after"] == [FIRST.to_plain()]
    assert result["commit"] == "abc"
    assert {"python", "tensorflow"} <= result["versions"].keys()
    assert result["machine"]["cores"] >= 1
    assert result["threads"] >= 1


def test_failures_are_told_and_stop_only_what_needs_them(ran):
    place, cells = ran
    assert {c.name for c in cells if place.is_done(c)} == {"first", "second", "alone"}
    assert place.read_failure(MISTAKE) == "column 'age' is missing"
    assert place.read_failure(BUG) == "ValueError: a bug"
    assert "its process ended with signal 9" in place.read_failure(KILLED)
    assert place.read_failure(HOPELESS) == "it needs 'toy kill', which failed"
    assert place.read_failure(FIRST) is None
    assert "in run\n    raise ValueError" in Path(place.log(BUG)).read_text()
    lines = Path(place.directory, RESULTS).read_text().splitlines()
    states = [json.loads(line)["status"] for line in lines]
    assert states == ["ok"] * 3 + ["failed"] * 4


def test_what_measures_time_runs_last(ran):
    place, _ = ran
    started = Path(place.directory, "started").read_text().split()
    assert started[-1] == "alone"
    assert "hopeless" not in started


def test_finished_cells_stay_and_failed_ones_are_tried_again(ran):
    place, cells = ran
    before = place.read(SECOND)
    file = Path(place.directory, "started")
    file.write_text("")
    run_cells(cells, place, workers=1)
    assert sorted(file.read_text().split()) == ["bug", "kill", "mistake"]
    assert place.read(SECOND) == before


def test_another_grid_is_rejected(ran, tmp_path):
    place, _ = ran
    assert open_toys(place.directory) == place
    with pytest.raises(InputError) as error:
        open_toys(place.directory, suite="others")
    assert str(error.value) == (
        f'{place.directory} holds the results of another grid: its suite is "toys", received '
        '"others"; give another --output_dir, or the same flags.'
    )
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not the output directory of a benchmark"):
        open_toys(tmp_path)


def test_a_damaged_result_is_named(tmp_path):
    place = open_toys(tmp_path / "out")
    place.write(FIRST, {"total": 1})
    path = Path(place.path("cells", FIRST, ".json"))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"cells/toy-first-\w+.json is damaged .*; remove it\."):
        place.collect()


def test_the_key_depends_on_everything():
    cells = [FIRST, Toy("first", 2), Toy("first", 1, after=(BUG,)), Toy("other", 1), SECOND]
    assert len({cell.key for cell in cells}) == len(cells)
    assert Toy("first", 1).key == FIRST.key
    assert FIRST.key.startswith("toy-first-")


def test_the_time_left_is_that_of_the_same_kind(capsys):
    progress = Progress(total=5, done=1, workers=2)
    progress.show(FIRST, "done", 30.0, [SECOND])
    assert progress.estimate([SECOND, Alone("alone")]) == 30 / 2 + 30
    text = capsys.readouterr().err
    assert text == "2 of 5   toy first   done   30 s; about 15 s left\n"
    assert format_duration(3700) == "1 h 1 min"
    assert format_duration(59.6) == "60 s"
    assert format_duration(60) == "1 min"
