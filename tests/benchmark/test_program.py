"""The program, on a few synthetic rows: from nothing to a report, and from there again."""

import json
import shutil

import numpy as np
import pytest

from mptrec_tf.benchmark.cells import Prepare, Serve, Train
from mptrec_tf.benchmark.place import Place
from mptrec_tf.benchmark.sources import RowSource

FLAGS = (
    *("--suite=unseen", "--dataset=synthetic_logs", "--rows=600", "--quick", "--heads=prompt"),
    *("--tasks=click,like", "--new_tasks=share", "--workers=2"),
)


@pytest.fixture(scope="module")
def run(run_program):
    def run(*flags):
        done = run_program("benchmark", *FLAGS, *flags, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def ran(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    return folder, *run(f"--output_dir={folder}/out")


def read_results(folder):
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return {f"{r['cell']['kind']} {r['cell'].get('role', '')}": r for r in map(json.loads, lines)}


def test_it_runs_every_cell(ran):
    folder, status, output, errors = ran
    assert status == 0, errors
    assert "5 cells, 0 of them finished" in errors
    assert "5 of 5" in errors
    assert "Wins, ties and losses" in output
    assert (folder / "out" / "report" / "report.html").exists()
    assert not list((folder / "out" / "work").iterdir())


def test_a_row_has_what_repeats_it(ran):
    folder = ran[0]
    results = read_results(folder)
    assert results.keys() == {
        "prepare ",
        "train two_tasks",
        "train joint",
        "train alone",
        "add_task ",
    }
    two = results["train two_tasks"]
    assert two["settings"]["training"]["seed"] == 1
    assert two["settings"]["training"]["epochs"] == two["epochs"] == 2
    assert two["settings"]["shape"]["tasks"] == ["click", "like"]
    assert two["data"]["splits"]["train"]["rows"] == 600
    assert len(two["data"]["preprocessing"]) >= 32
    assert two["steps"] == 2 * 3  # 600 rows by batches of 256
    assert two["flops"] == two["steps"] * two["flops_per_step"] > 0
    assert two["flops_not_counted"] == []
    assert not two["resumed"]
    assert set(two["scores"]["test"]) == {"click", "like"}


def test_a_head_is_small_and_leaves_old_tasks_as_they_are(ran):
    results = read_results(ran[0])
    head, joint = results["add_task "], results["train joint"]
    assert head["old_tasks_unchanged"] is True
    assert head["parameters"] < head["joint_parameters"] / 5
    # The discriminator of a stage 1 is trained with the model, and is no part of it.
    assert 0 < head["joint_parameters"] - joint["parameters"] < 1000
    assert 0 < head["flops"] < joint["flops"]
    assert head["bytes"] > 4 * head["parameters"]
    arrays = np.load(ran[0] / "out" / "arrays" / f"{head['key']}.npz")
    assert arrays["prompt"].shape == (1, 128)
    assert len(arrays["prediction/share"]) == head["data"]["splits"]["test"]["rows"]


def test_a_second_start_trains_nothing(ran, run):
    folder = ran[0]
    before = read_results(folder)
    status, _, errors = run(f"--output_dir={folder}/out")
    assert status == 0, errors
    assert "5 cells, 5 of them finished" in errors
    assert read_results(folder) == before


def test_it_renders_from_the_results_alone(ran, run, tmp_path):
    shutil.copytree(ran[0] / "out", tmp_path / "copy")
    for name in ("data", "backbones", "logs", "report"):
        shutil.rmtree(tmp_path / "copy" / name)
    status, output, errors = run(f"--output_dir={tmp_path}/copy", "--render_only")
    assert status == 0, errors
    assert "Wins, ties and losses" in output
    assert (tmp_path / "copy" / "report" / "figures" / "differences.svg").exists()


def test_serving_is_measured(synthetic_backbone, tmp_path):
    from mptrec_tf.benchmark.serving_cells import measure_serving

    place = Place(str(tmp_path), RowSource("synthetic"))
    data = Prepare("rows", ("click", "like", "share"))
    backbone = Train(data, ("click", "like"), "mptrec", 1, "two_tasks", keep=True)
    (tmp_path / "work").mkdir()
    shutil.copytree(synthetic_backbone, place.backbone(backbone))
    cell = Serve(backbone, "fixed", counts=(0, 1, 3), candidates=4, seconds=0.05)
    result = measure_serving(cell, place)
    assert list(result["milliseconds"]) == ["0", "1", "3"]
    assert min(result["milliseconds"].values()) > 0
    times = result["milliseconds"]
    assert result["one_more_microseconds"] == pytest.approx(500 * (times["3"] - times["1"]))
    assert result["saved_model_bytes"] > 10_000
    alone = measure_serving(Serve(backbone, candidates=4, seconds=0.05), place)
    assert list(alone["milliseconds"]) == ["0"]
    assert "one_more_microseconds" not in alone
