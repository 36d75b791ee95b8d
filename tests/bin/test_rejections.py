"""Wrong inputs: one error message, exit status 1, and no file changes."""

import csv
import json
import shutil

import numpy as np
import pytest


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_prepare_names_a_missing_file(run_rejected, tmp_path):
    message = run_rejected(
        "prepare",
        "--dataset=census_income",
        f"--data_dir={tmp_path}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert "census-income.data" in message
    assert not (tmp_path / "out").exists()


def test_prepare_names_file_and_line_of_a_bad_row(run_rejected, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: shop\ncategorical: [city]\nnumeric: [price]\n"
        "tasks:\n- {name: buy, label: bought, positive: 1, negative: 0}\n"
    )
    good = "city,price,bought\nA,1.5,0\nB,2,1\n"
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.csv").write_text(good)
    (tmp_path / "train.csv").write_text(good + "C,3\n")
    flags = [f"--{s}_files={tmp_path / s}.csv" for s in ("train", "validation", "test")]
    message = run_rejected("prepare", f"--spec={spec}", *flags, f"--output_dir={tmp_path / 'out'}")
    assert "train.csv, line 4: 2 columns" in message
    assert "[while running" not in message
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("out")] == []


def test_an_output_directory_of_another_run_is_left_alone(run_rejected, synthetic_runs):
    before = snapshot(synthetic_runs.folder)
    runs = synthetic_runs
    data, backbone = f"--data={runs.data}", f"--backbone={runs.backbone}"
    for name, flags in {
        "prepare": ["--dataset=synthetic", f"--output_dir={runs.data}"],
        "pretrain": [data, "--tasks=click", f"--output_dir={runs.backbone}"],
        "add_task": [data, backbone, "--task=share", f"--output_dir={runs.packages['share']}"],
    }.items():
        assert "already exists" in run_rejected(name, *flags)
    assert snapshot(synthetic_runs.folder) == before


def test_unknown_tasks_are_named(run_rejected, synthetic_runs, tmp_path):
    flags = [f"--data={synthetic_runs.data}", f"--output_dir={tmp_path / 'out'}"]
    assert "unknown task 'clack'" in run_rejected("pretrain", *flags, "--tasks=click,clack")
    backbone = f"--backbone={synthetic_runs.backbone}"
    assert "unknown task 'clack'" in run_rejected("add_task", *flags, backbone, "--task=clack")
    assert "needs another name" in run_rejected("add_task", *flags, backbone, "--task=click")


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("pretrain", "--epochs=0"),
        ("pretrain", "--expert_dropout=1.5"),
        ("pretrain", "--tower_units=64,x"),
        ("pretrain", "--assignment=sometimes"),
        ("add_task", "--tau=0"),
        ("evaluate", "--split=trial"),
    ],
)
def test_flags_out_of_range_are_rejected(run_rejected, name, flag):
    assert flag.partition("=")[0].strip("-") in run_rejected(name, flag)


def test_missing_and_unknown_flags_are_rejected(run_rejected):
    assert "--data" in run_rejected("pretrain", "--tasks=a", "--output_dir=b")
    assert "batchsize" in run_rejected("pretrain", "--batchsize=3")
    assert "epochz" in run_rejected(
        "prepare", "--dataset=synthetic", "--output_dir=x", "--epochz=3"
    )


def test_a_task_with_one_class_is_rejected(run_rejected, synthetic_runs, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(synthetic_runs.data, data)
    description = json.loads((data / "data.json").read_text())
    description["splits"]["train"]["tasks"]["like"]["positives"] = 0
    (data / "data.json").write_text(json.dumps(description))
    message = run_rejected(
        "pretrain", f"--data={data}", "--tasks=click,like", f"--output_dir={tmp_path / 'out'}"
    )
    assert "'like' has one class only in the train split: 0 positives in 3000 rows" in message


def test_data_of_another_preprocessing_are_rejected(
    run_program, run_rejected, synthetic_runs, prepared_synthetic, tmp_path
):
    backbone, other = f"--backbone={synthetic_runs.backbone}", f"--data={prepared_synthetic}"
    add = [backbone, other, "--task=purchase", f"--output_dir={tmp_path / 'task'}"]
    assert "other vocabularies or statistics" in run_rejected("add_task", *add)
    # Prepared with the backbone's own preprocessing, such rows fit. Beam is as users have it.
    fitting = tmp_path / "fitting"
    flags = ["--dataset=synthetic", "--rows=1500"]
    flags += [backbone, f"--output_dir={fitting}"]
    run_program("prepare", *flags, NO_BEAM_CACHES="1")
    add[1] = f"--data={fitting}"
    run_program("add_task", *add, "--epochs=1", "--head=prompt")


def test_a_package_of_another_backbone_is_rejected_with_both_fingerprints(
    run_rejected, synthetic_runs, tmp_path
):
    """Of one with the same data and shape, in which one weight differs."""
    from mptrec_tf.artifacts.backbones import load_backbone, save_backbone

    backbone = load_backbone(str(synthetic_runs.backbone))
    weight = backbone.model.trainable_weights[0]
    weight.assign(np.nextafter(weight, np.inf, dtype=np.float32))
    other = tmp_path / "other"
    other.mkdir()
    save_backbone(str(other), backbone.model, backbone.spec, backbone.transform_dir, {})
    message = run_rejected(
        "export",
        f"--backbone={other}",
        f"--tasks={synthetic_runs.packages['share']}",
        f"--output_dir={tmp_path / 'model'}",
    )
    for backbone in (other, synthetic_runs.backbone):
        assert json.loads((backbone / "backbone.json").read_text())["fingerprint"] in message
    assert not (tmp_path / "model").exists()


def test_a_changed_backbone_is_rejected(run_rejected, synthetic_runs, tmp_path):
    changed = tmp_path / "backbone"
    shutil.copytree(synthetic_runs.backbone, changed)
    weights = bytearray((changed / "weights.npz").read_bytes())
    start = weights.find(b"\x93NUMPY") + 4096  # inside the first array's numbers
    weights[start] ^= 1
    (changed / "weights.npz").write_bytes(weights)
    message = run_rejected("export", f"--backbone={changed}", f"--output_dir={tmp_path / 'model'}")
    assert "changed" in message or "damaged" in message


def rows_with(runs, tmp_path, change):
    with open(runs.rows) as file:
        rows = list(csv.DictReader(file))[:3]
    for row in rows:
        change(row)
    path = tmp_path / "rows.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda row: row.pop("user_age"), "has no column 'user_age'"),
        (lambda row: row.update(user_age="old"), "line 2, column 'user_age': 'old'"),
        (lambda row: row.update(item_price="nan"), "line 2, column 'item_price': 'nan'"),
    ],
)
def test_rows_that_the_model_cannot_read_are_rejected(
    run_rejected, synthetic_runs, tmp_path, change, sentence
):
    rows = rows_with(synthetic_runs, tmp_path, change)
    output = tmp_path / "predictions.csv"
    output.write_text("from an earlier run")
    message = run_rejected(
        "predict", f"--model={synthetic_runs.model}", f"--input={rows}", f"--output={output}"
    )
    assert sentence in message
    assert output.read_text() == "from an earlier run"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["predictions.csv", "rows.csv"]


def test_directories_of_the_wrong_kind_are_rejected(run_rejected, synthetic_runs, tmp_path):
    runs = synthetic_runs
    out = f"--output_dir={tmp_path / 'out'}"
    assert "holds no backbone" in run_rejected("export", f"--backbone={runs.data}", out)
    assert "holds no prepared data" in run_rejected(
        "pretrain", f"--data={runs.backbone}", "--tasks=click", out
    )
    assert "holds no exported model" in run_rejected(
        "predict", f"--model={runs.data}", f"--input={runs.rows}", f"--output={tmp_path / 'p'}"
    )


def test_help_is_for_a_newcomer(run_program):
    for name in ("prepare", "pretrain", "add_task", "export", "evaluate", "predict"):
        output = run_program(name, "--help").stdout
        assert f"mptrec-{name.replace('_', '-')} --" in output
        assert "--output" in output


def test_empty_names_are_rejected(run_rejected, synthetic_runs, tmp_path):
    runs = synthetic_runs
    data, backbone = f"--data={runs.data}", f"--backbone={runs.backbone}"
    out = f"--output_dir={tmp_path / 'out'}"
    assert "name at least one task" in run_rejected("pretrain", data, "--tasks=", out)
    assert "cannot be an output directory" in run_rejected(
        "pretrain", data, "--tasks=click", "--output_dir="
    )
    package = runs.packages["share"]
    assert "empty directory" in run_rejected("export", backbone, f"--tasks={package},", out)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_written_are_rejected_first(run_rejected, synthetic_runs, tmp_path):
    model = f"--model={synthetic_runs.model}"
    message = run_rejected(
        "evaluate", model, "--dataset=synthetic", f"--output={tmp_path / 'none' / 'm.json'}"
    )
    assert "there is no directory" in message
    rows = f"--input={synthetic_runs.rows}"
    assert "is a directory" in run_rejected("predict", model, rows, f"--output={tmp_path}")


def test_flags_of_another_data_set_are_rejected(run_rejected, tmp_path):
    message = run_rejected(
        "prepare", "--spec=a.yaml", "--rows=300", f"--output_dir={tmp_path / 'o'}"
    )
    assert "--rows goes with --dataset" in message


def test_export_names_flags_that_go_together(run_rejected, synthetic_runs):
    before = snapshot(synthetic_runs.model)
    runs, package = synthetic_runs, synthetic_runs.packages["share"]
    model = f"--output_dir={runs.model}"
    for flags, message in (
        ([], "give --backbone (and --tasks)"),
        ([f"--backbone={runs.backbone}", f"--add={package}"], "give --backbone (and --tasks)"),
        ([f"--tasks={package}", "--remove=share"], "give --backbone (and --tasks)"),
        ([f"--backbone={runs.backbone}", "--from_version=1"], "--from_version goes with --add"),
        (["--remove=click"], "no added task 'click' to remove; the added tasks are: purchase"),
        ([f"--add={runs.packages['purchase']}"], "'purchase' of "),
        ([f"--replace={package}"], "no added task 'share' to replace"),
        (["--from_version=9", "--remove=share"], "no version 9: there are 1, 2, 3, 4."),
    ):
        assert message in run_rejected("export", *flags, model)
    assert snapshot(runs.model) == before


def test_compare_names_missing_tasks_and_columns(run_rejected, synthetic_runs, tmp_path):
    runs = synthetic_runs
    models = (f"--a={runs.model / '3'}", f"--b={runs.model / '4'}")
    message = run_rejected("compare", *models, f"--input={runs.rows}", "--require_identical=share")
    assert (
        "names 'share', which is not a task of both models; these are click, like, purch" in message
    )
    (tmp_path / "rows.csv").write_text("hour\n1\n")
    message = run_rejected("compare", *models, f"--input={tmp_path / 'rows.csv'}")
    assert "rows.csv has no column" in message
