"""Where programs write: standard output, pipes, links, and beside remains of killed runs."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest


def predict_flags(runs, *more):
    return [f"--model={runs.model / '3'}", f"--input={runs.rows}", *more]


# Not /dev/stdout: as root, it would be replaced if it were taken for a file.
@pytest.mark.parametrize("name", ["-", "/proc/self/fd/1"])
def test_standard_output_holds_nothing_but_predictions(run_program, synthetic_runs, name):
    done = run_program("predict", *predict_flags(synthetic_runs, f"--output={name}"))
    assert done.stdout == (synthetic_runs.folder / "predictions.csv").read_text()
    assert "Predictions of" in done.stderr
    assert "300 rows" in done.stderr


def test_standard_output_holds_nothing_but_json(run_program, synthetic_runs):
    runs = synthetic_runs
    model = f"--model={runs.model / '3'}"
    done = run_program("evaluate", model, *runs.dataset_flags, "--output=-")
    assert done.stdout == (runs.folder / "metrics.json").read_text()
    assert "log loss" in done.stderr
    assert "written to standard output" in done.stderr
    models = (f"--a={runs.model / '3'}", f"--b={runs.model}")
    done = run_program("compare", *models, f"--input={runs.rows}", "--output=-")
    assert json.loads(done.stdout) == json.loads((runs.folder / "compared.json").read_text())
    assert "only in a" in done.stderr


def run_with_streams(flags, **streams):
    """Runs mptrec-predict with streams of its own; returns its status and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "mptrec_tf.bin.predict", *flags],
        stderr=subprocess.PIPE,
        check=False,
        text=True,
        **streams,
    )
    return done.returncode, done.stderr


def test_a_reader_that_stops_reading(synthetic_runs, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    rejected = f"--rejects={tmp_path / 'rejected.csv'}"
    flags = predict_flags(synthetic_runs, "--output=-", rejected)
    status, message = run_with_streams(flags, stdout=writing)
    os.close(writing)
    assert status == -signal.SIGPIPE
    assert "rror" not in message
    assert "Traceback" not in message
    assert os.listdir(tmp_path) == []


def test_an_output_that_is_a_link(run_program, synthetic_runs, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("disk/real.csv")
    output = f"--output={tmp_path / 'link.csv'}"
    run_program("predict", *predict_flags(synthetic_runs, output))
    expected = (synthetic_runs.folder / "predictions.csv").read_text()
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "disk/real.csv").read_text() == expected
    assert os.listdir(tmp_path / "disk") == ["real.csv"]


def test_an_output_that_is_an_input(run_rejected, synthetic_runs, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_bytes(before := synthetic_runs.rows.read_bytes())
    (tmp_path / "link").symlink_to("rows.csv")
    model = f"--model={synthetic_runs.model}"
    for flags in (
        [f"--input={rows}", f"--output={tmp_path / 'link'}"],
        [f"--input={tmp_path / '*.csv'}", f"--output={rows}"],
        [f"--input={rows}", f"--output={tmp_path / 'p'}", f"--rejects={rows}"],
    ):
        assert "is an input too" in run_rejected("predict", model, *flags)
    output = f"--output={tmp_path / 'p'}"
    message = run_rejected("predict", model, f"--input={rows}", output, f"--rejects={tmp_path}/./p")
    assert "is the output too" in message
    assert rows.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["link", "rows.csv"]


def test_what_a_killed_export_left_is_removed(run_program, synthetic_runs, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "model").symlink_to("disk")
    (tmp_path / "disk/2.incomplete-514aa624/variables").mkdir(parents=True)
    run_program(
        "export", f"--backbone={synthetic_runs.backbone}", f"--output_dir={tmp_path / 'model'}"
    )
    assert os.listdir(tmp_path / "disk") == ["1"]
    assert (tmp_path / "model").is_symlink()


@pytest.fixture
def inputs(synthetic_runs, tmp_path):
    """Rows in three files, two of which hold bad rows."""
    header, *rows = synthetic_runs.rows.read_bytes().splitlines(keepends=True)
    names = header.decode().strip().split(",")
    fields = rows[7].split(b",")
    fields[names.index("user_age")] = b"old"
    parts = {
        "b/2.csv": rows[:5],
        "b/10.csv": [*rows[5:7], b",".join(fields), *rows[8:10]],
        "a[1].csv": [*rows[10:12], rows[12].strip() + b",more\r\n", b"\xff" + rows[13], *rows[14:]],
    }
    (tmp_path / "b").mkdir()
    for name, part in parts.items():
        (tmp_path / name).write_bytes(b"".join([header, *part]))
    return f"--input={tmp_path}/b/2.csv,{tmp_path}/b/*.csv,{tmp_path}/a[1].csv"


def test_several_inputs_copied_columns_and_rejected_rows(
    run_program, synthetic_runs, inputs, tmp_path
):
    runs = synthetic_runs
    flags = [
        f"--model={runs.model / '3'}",
        inputs,
        "--keep=user_id,hour",
        "--tasks=share,click",
        f"--rejects={tmp_path / 'rejected.csv'}",
        f"--output={tmp_path / 'p.csv'}",
    ]
    done = run_program("predict", *flags, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    with open(runs.rows) as raw, open(runs.folder / "predictions.csv") as predicted:
        expected = [
            {"user_id": row["user_id"], "hour": row["hour"], **values}
            for row, values in zip(csv.DictReader(raw), csv.DictReader(predicted), strict=True)
        ]
    with open(tmp_path / "p.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["user_id", "hour", "share", "click"]
    good = [row for i, row in enumerate(expected) if i not in (7, 12, 13)]
    assert [(row["user_id"], row["hour"]) for row in rows] == [
        (row["user_id"], row["hour"]) for row in good
    ]
    for task in ("share", "click"):
        assert [float(row[task]) for row in rows] == pytest.approx(
            [float(row[task]) for row in good], rel=1e-5
        )
    with open(tmp_path / "rejected.csv") as file:
        rejected = list(csv.DictReader(file))
    assert [(os.path.basename(row["file"]), row["line"]) for row in rejected] == [
        ("10.csv", "4"),
        ("a[1].csv", "4"),
        ("a[1].csv", "5"),
    ]
    for reason in ("another number of columns", "not UTF-8 text", "not a finite number"):
        assert reason in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["a[1].csv", "b", "p.csv", "rejected.csv"]


def test_without_rejects_the_first_bad_row_ends_the_run(
    run_rejected, synthetic_runs, inputs, tmp_path
):
    message = run_rejected(
        "predict", f"--model={synthetic_runs.model}", inputs, f"--output={tmp_path / 'p.csv'}"
    )
    assert "10.csv, line 4, column 'user_age': 'old' is not a finite number" in message
    assert not (tmp_path / "p.csv").exists()


def test_no_bad_row_is_status_0(run_program, synthetic_runs, tmp_path):
    files = [f"--output={tmp_path / 'p.csv'}", f"--rejects={tmp_path / 'rejected.csv'}"]
    done = run_program("predict", *predict_flags(synthetic_runs, *files))
    assert "ejected" not in done.stdout
    assert (tmp_path / "p.csv").read_text() == (
        synthetic_runs.folder / "predictions.csv"
    ).read_text()
    assert (tmp_path / "rejected.csv").read_text() == "file,line,reason,row\n"


def test_flags_that_name_missing_columns_and_files(run_rejected, synthetic_runs, tmp_path):
    output = f"--output={tmp_path / 'p.csv'}"
    for flags, sentence in (
        (["--keep=user_idd"], "has no column 'user_idd' to keep; do you mean user_id"),
        (["--keep=user_id,"], "a column to keep has no name"),
        ([f"--input={tmp_path / 'no*.csv'}"], "no file matches"),
        (["--input="], "--input names no file"),
    ):
        message = run_rejected("predict", *predict_flags(synthetic_runs, output, *flags))
        assert sentence in message
    assert os.listdir(tmp_path) == []
