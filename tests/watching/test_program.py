"""mptrec-watch as a program: what it prints and writes, and its exit status for a scheduler."""

import json

import numpy as np
import pytest

START = 20_000 * 86_400


@pytest.fixture
def given(watched, rows, predict, record, write, block, tmp_path):
    """The flags of a model, its logs and its labels: 300 rows on each of four days."""
    inputs = {n: np.array(values, object) for n, values in rows.items()}
    inputs = {n: v if isinstance(v[0], str) else v.astype(float) for n, v in inputs.items()}
    records, lines = [], ["shown,click"]
    for day in range(4):
        ids = [f"{day}/{i}" for i in range(300)]
        logged = {**inputs, "request_id": ids}
        seconds = START + 86_400 * day
        records.append(record(logged, predict(300), seconds, signature="columns_with_id"))
        pairs = zip(ids, block.columns["click"], strict=True)
        lines += [f"{shown},{click}" for shown, click in pairs]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines) + "\n")
    return f"--model={watched}", f"--logs={write(records)}", f"--labels={labels}"


def test_nothing_to_do(run_program, given, tmp_path):
    limits = ("--max_drift=0.9", "--max_unknown=0.9", "--margin=1", "--max_calibration=9")
    files = (f"--output={tmp_path}/watch.html", f"--json={tmp_path}/watch.json")
    done = run_program("watch", *given, "--request_id=shown", *limits, *files)
    assert "4 requests of 1,200 rows. Nothing: the model fits what it is asked" in done.stdout
    found = json.loads((tmp_path / "watch.json").read_text())
    assert (found["recommendation"], found["rows"]) == ("nothing", 1200)
    assert [day["rows"] for day in found["tasks"]["click"]["days"]] == [300] * 4
    assert (tmp_path / "watch.html").read_text().startswith("<!DOCTYPE html>")


def test_something_is_recommended(run_program, given):
    done = run_program("watch", *given[:2], "--max_drift=0", "--json=-", check=False)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)  # which holds the data alone
    assert found["recommendation"] == "refresh"
    assert "[refresh] " in done.stderr


def test_no_logs_are_named(run_program, given):
    done = run_program("watch", given[0], "--logs=", check=False)
    assert done.returncode == 1
    assert "--logs names no file; give request logs, or their folder." in done.stderr


def test_labels_without_the_id_are_rejected(run_program, given):
    done = run_program("watch", *given, check=False)
    assert done.returncode == 1
    assert "labels.csv has no column 'request_id'; it has shown, click" in done.stderr
