"""A user's mistakes are reported before TensorFlow is imported, which takes seconds."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mptrec_tf.data.features.base import InputShape
from mptrec_tf.data.sources.registry import make_built_in_spec
from mptrec_tf.models.shapes import MPTRecShape

ROOT = Path(__file__).parents[2]
PROGRAMS = ("prepare", "pretrain", "add_task", "export", "evaluate", "predict", "compare", "serve")
SPEC = make_built_in_spec("synthetic")
TOO_EARLY = "TensorFlow is imported too early"


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    """A folder whose tensorflow cannot be imported."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(f"raise ImportError({TOO_EARLY!r})\n")
    return folder


@pytest.fixture
def run(stub):
    def run(program, *flags):
        module = program if "." in program else f"mptrec_tf.bin.{program}"
        return subprocess.run(
            [sys.executable, "-m", module, *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(stub)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def run_rejected(run):
    """Runs a program that must reject its input; returns its standard error."""

    def run_rejected(program, *flags):
        done = run(program, *flags)
        assert TOO_EARLY not in done.stderr
        assert done.returncode == 1, done.stderr
        assert done.stderr.count(": error: ") == 1
        return done.stderr

    return run_rejected


def describe(directory, name, **content):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return directory


@pytest.fixture
def paths(tmp_path):
    """A user's directories, with their descriptions only."""
    spec = json.loads(SPEC.to_json())
    positives = {"click": 40, "like": 30, "share": 20, "purchase": 100}
    labels = {task: {"positives": count} for task, count in positives.items()}
    counts = {"rows": 100, "tasks": labels}
    splits = dict.fromkeys(("train", "validation", "test"), counts)
    shape = MPTRecShape(
        ("click", "like"), (InputShape("categorical", 7, 900), InputShape("numeric", 3))
    )
    backbone = {
        "fingerprint": "0123",
        "model": "mptrec",
        "shape": dataclasses.asdict(shape),
        "spec": spec,
        "training": {},
    }
    package = {"backbone": "0123", "head": {}, "training": {}}
    by_name = {task["name"]: task for task in spec["tasks"]}
    model = tmp_path / "model"
    for version in ("1", "2"):
        card = {"spec": {**spec, "tasks": spec["tasks"][:3]}}
        describe(model / version, "assets.extra/model_card.json", **card)
        describe(model / version, "assets.extra/parts/backbone/backbone.json", **backbone)
        parts = "assets.extra/parts/tasks/share/task.json"
        describe(model / version, parts, **package, task=by_name["share"])
        (model / version / "saved_model.pb").write_bytes(b"")
    (tmp_path / "rows.csv").write_text("hour\n1\n")
    data = {
        "spec": spec,
        "inputs": [{"kind": "categorical", "columns": 7, "rows": 900}],
        "splits": splits,
        "survey": {},
    }
    return {
        "data": describe(tmp_path / "data", "data.json", **data),
        "backbone": describe(tmp_path / "backbone", "backbone.json", **backbone),
        "share": describe(tmp_path / "share", "task.json", **package, task=by_name["share"]),
        "other": describe(
            tmp_path / "other",
            "task.json",
            **{**package, "backbone": "4567"},
            task=by_name["purchase"],
        ),
        "model": model,
        "rows": tmp_path / "rows.csv",
        "new": tmp_path / "new",
        "none": tmp_path / "none",
    }


MISTAKES = [
    # Outputs that exist already.
    ("prepare", "--dataset=synthetic --output_dir={data}", "data already exists"),
    ("pretrain", "--data={data} --tasks=click --output_dir={backbone}", "backbone already exists"),
    (
        "add_task",
        "--data={data} --backbone={backbone} --task=share --output_dir={share}",
        "share already exists",
    ),
    ("predict", "--model={model} --input={rows} --output={data}", "data' is a directory"),
    (
        "evaluate",
        "--model={model} --dataset=synthetic --output={none}/metrics.json",
        "there is no directory",
    ),
    ("compare", "--a={model} --b={model} --input={rows} --output={data}", "is a directory"),
    # Inputs that do not exist.
    ("pretrain", "--data={none} --tasks=click --output_dir={new}", "none holds no prepared data"),
    ("pretrain", "--data={backbone} --tasks=click --output_dir={new}", "holds no prepared data"),
    (
        "add_task",
        "--data={none} --backbone={backbone} --task=share --output_dir={new}",
        "none holds no prepared data",
    ),
    (
        "add_task",
        "--data={data} --backbone={none} --task=share --output_dir={new}",
        "none holds no backbone",
    ),
    (
        "prepare",
        "--dataset=synthetic --backbone={data} --output_dir={new}",
        "data holds no backbone (backbone.json is missing)",
    ),
    ("prepare", "--dataset=census_income --data_dir={none} --output_dir={new}", "no directory"),
    ("export", "--backbone={none} --output_dir={new}", "none holds no backbone"),
    ("export", "--backbone={backbone} --tasks={none} --output_dir={new}", "none holds no task"),
    ("export", "--remove=share --output_dir={none}", "none holds no version"),
    ("predict", "--model={none} --input={rows} --output={new}", "none holds no exported model"),
    ("predict", "--model={model} --input={none} --output={new}", "no file matches"),
    ("evaluate", "--model={data} --dataset=synthetic", "data holds no exported model"),
    ("compare", "--a={model} --b={none} --input={rows}", "none holds no exported model"),
    ("compare", "--a={model}/1 --b={model}/2 --input={none}", "no file matches"),
    ("pipelines.lineage", "--model={none}", "none holds no exported model"),
    # Misspelled names.
    (
        "prepare",
        "--dataset=synthetic --tasks=clik --output_dir={new}",
        "unknown task 'clik': data set 'synthetic' has click, like, share, purchase; did you "
        "mean 'click'?",
    ),
    (
        "prepare",
        "--dataset=census_income --tasks=income,Martial --output_dir={new}",
        "did you mean 'marital'?",
    ),
    ("prepare", "--dataset=census --output_dir={new}", "did you mean 'census_income'?"),
    (
        "pretrain",
        "--data={data} --tasks=click,Like --output_dir={new}",
        "unknown task 'Like': data set 'synthetic' has click, like, share, purchase; did you "
        "mean 'like'?",
    ),
    (
        "add_task",
        "--data={data} --backbone={backbone} --task=shares --output_dir={new}",
        "did you mean 'share'?",
    ),
    ("evaluate", "--model={model} --dataset=synthetic --tasks=sharee", "did you mean 'share'?"),
    (
        "predict",
        "--model={model} --input={rows} --tasks=cilck --output={new}",
        "did you mean 'click'?",
    ),
    (
        "compare",
        "--a={model} --b={model} --input={rows} --require_identical=clicks",
        "did you mean 'click'?",
    ),
    ("export", "--remove=shar --output_dir={model}", "did you mean 'share'?"),
    ("pretrain", "--data={data} --tasks=click --batchsize=3 --output_dir={new}", "batch_size"),
    # What does not go together.
    ("pretrain", "--data={data} --tasks=purchase --output_dir={new}", "has one class only"),
    (
        "add_task",
        "--data={data} --backbone={backbone} --task=click --output_dir={new}",
        "a new task needs another name",
    ),
    (
        "add_task",
        "--data={data} --backbone={backbone} --task=share --head=residual --tau=3 "
        "--output_dir={new}",
        "head 'residual' has no tau",
    ),
    (
        "pretrain",
        "--data={data} --tasks=click --model=single --gen_weight=0.3 --output_dir={new}",
        "model 'single' has no gen_weight; leave it out.",
    ),
    (
        "pretrain",
        "--data={data} --tasks=click --model=shared_bottom --fusion=full --output_dir={new}",
        "model 'shared_bottom' has no fusion; leave it out.",
    ),
    ("export", "--backbone={backbone} --tasks={other} --output_dir={new}", "fingerprint 4567"),
    ("export", "--add={share} --output_dir={model}", "replace it instead"),
    ("prepare", "--spec={rows} --tasks=click --output_dir={new}", "--tasks goes with --dataset"),
]


@pytest.mark.parametrize(("program", "flags", "sentence"), MISTAKES)
def test_a_mistake_is_reported_before_tensorflow_is_imported(
    run_rejected, paths, program, flags, sentence
):
    assert sentence in run_rejected(program, *flags.format(**paths).split())


def test_a_spec_file_is_read_first(run_rejected, paths, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: shop\nnumric: [price]\ntasks: [{name: buy, label: b, positive: 1}]\n")
    files = [f"--{split}_files={paths['rows']}" for split in ("train", "validation", "test")]
    message = run_rejected("prepare", f"--spec={spec}", *files, f"--output_dir={paths['new']}")
    assert "spec.yaml, line 2: unknown key 'numric' in the spec" in message


def test_correct_flags_pass_on_to_tensorflow(run, paths):
    flags = "--data={data} --tasks=click,like --output_dir={new}"
    assert TOO_EARLY in run("pretrain", *flags.format(**paths).split()).stderr


@pytest.mark.parametrize("program", [*PROGRAMS, "pipelines.lineage"])
def test_version_and_help_need_no_tensorflow(run, program):
    import mptrec_tf

    name = f"mptrec-{program.split('.')[-1].replace('_', '-')}"
    done = run(program, "--version")
    assert (done.returncode, done.stdout) == (0, f"{name} {mptrec_tf.__version__}\n")
    done = run(program, "--help")
    assert done.returncode == 0, done.stderr
    assert "--version" in done.stdout
