"""A user's mistakes are reported before TensorFlow is imported, which takes seconds."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.sets.registry import make_built_in_spec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.export.integrity import write_manifest
from mptrec_tf.models.shapes import MPTRecShape

ROOT = Path(__file__).parents[2]
PROGRAMS = (
    *(
        "describe",
        "make_sample",
        "prepare",
        "pretrain",
        "add_task",
        "export",
        "evaluate",
        "predict",
    ),
    *("compare", "verify", "serve", "watch", "benchmark"),
)
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
def paths(tmp_path, key_files):
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
    changed = shutil.copytree(model, tmp_path / "changed")
    for version in ("1", "2"):
        write_manifest(str(changed / version))
    (changed / "2" / "saved_model.pb").write_bytes(b"c")
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
        "changed": changed,
        "rows": tmp_path / "rows.csv",
        "new": tmp_path / "new",
        "none": tmp_path / "none",
        **dict(zip(("private_key", "public_key"), key_files, strict=True)),
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
    (
        "pretrain",
        "--data={data} --tasks=click --output_dir={new} --strategy=parameter_server",
        "--strategy=parameter_server needs the environment variable TF_CONFIG",
    ),
    (
        "pipelines.local",
        "--root={new} --strategy=multi_worker",
        "--strategy=multi_worker needs the environment variable TF_CONFIG",
    ),
    ("pipelines.lineage", "--model={none}", "none holds no exported model"),
    ("watch", "--model={none} --logs={rows}", "none holds no exported model"),
    ("watch", "--model={model} --logs={none}", "no file matches"),
    ("watch", "--model={model} --logs={rows} --label_time=at", "--label_time goes with --labels"),
    ("watch", "--model={model} --logs={rows} --json={data}", "is a directory"),
    ("watch", "--model={model} --logs={rows} --output=-", "--output is a page of HTML"),
    ("watch", "--model={model} --logs={rows}", "an earlier release of mptrec_tf trained it"),
    ("serve", "--model_base_path={model} --log_share=1", "--log_share goes with --log_requests"),
    # Versions that are not as they were written.
    (
        "export",
        "--add={other} --output_dir={changed}",
        "changed/2/saved_model.pb was changed after",
    ),
    ("export", "--replace={share} --output_dir={changed}", "/2/saved_model.pb was changed after"),
    ("export", "--remove=share --output_dir={changed}", "/2/saved_model.pb was changed after"),
    ("compare", "--a={changed}/1 --b={changed} --input={rows}", "/2/saved_model.pb was changed"),
    ("predict", "--model={changed} --input={rows} --output={new}", "/2/saved_model.pb was changed"),
    ("evaluate", "--model={changed} --dataset=synthetic", "/2/saved_model.pb was changed after"),
    ("watch", "--model={changed} --logs={rows}", "/2/saved_model.pb was changed after"),
    ("verify", "--model={changed}", "changed/2/saved_model.pb was changed after"),
    ("verify", "--model={model}", "model/1 has no manifest (assets.extra/manifest.json)"),
    ("verify", "--model={none}", "none holds no exported model"),
    # Keys.
    ("verify", "--model={changed}/1 --public_key={rows}", "rows.csv holds no public key"),
    ("verify", "--model={changed}/1 --public_key={public_key}", "changed/1 is not signed"),
    ("serve", "--model_base_path={model} --public_key={rows}", "rows.csv holds no public key"),
    ("export", "--backbone={none} --output_dir={new} --sign_key={rows}", "holds no private key"),
    (
        "export",
        "--remove=share --from_version=1 --output_dir={changed} --sign_key={private_key}",
        "changed/1 is not signed",
    ),
    ("export", "--output_dir={changed} --sign_key={private_key}", "/2/saved_model.pb was changed"),
    ("export", "--output_dir={new} --sign_key={private_key}", "new holds no version: there is non"),
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
    # Files to describe.
    ("describe", "", "give the files to look at by --files."),
    ("describe", "--files={none}", "no file matches"),
    ("describe", "--files={rows} --output={rows}", "rows.csv already exists"),
    ("describe", "--files={rows} --output={none}/spec.yaml", "there is no directory"),
    ("describe", "--files={rows} --delimiter=ab", "delimiter must be a single character"),
    ("describe", "--files={rows} --encoding=utf8x", "--encoding 'utf8x' is none that Python knows"),
    ("describe", "--files={rows} --decimal=;", "--decimal must be a comma or a point, not ';'."),
    ("describe", "--files={rows} --quote=ab", "--quote must be a single character"),
    ("describe", "--files={rows} --header=a,a", "--header names column 'a' twice."),
    ("describe", "--files={rows}", "rows.csv has no column of two values and more"),
    # Options of data sets.
    (
        "prepare",
        "--dataset=synthetic --countries=NL --output_dir={new}",
        "data set 'synthetic' does not take countries; it takes rows, seed.",
    ),
    (
        "prepare",
        "--dataset=aliexpress --data_dir={data} --countries=NL,RU --output_dir={new}",
        "--countries=NL,RU: there is no country 'RU'; there are NL, ES, FR, US.",
    ),
    # Samples of data sets.
    (
        "make_sample",
        "--dataset=byte_rek --output_dir={new}",
        "unknown data set 'byte_rek'; there are synthetic, ",
    ),
    ("make_sample", "--dataset=byte_rek --output_dir={new}", "; did you mean 'byte_rec'?"),
    (
        "make_sample",
        "--dataset=census_income --output_dir={new}",
        "there is no sample of data set 'census_income'; there is one of ali_ccp, ",
    ),
    ("make_sample", "--dataset=byte_rec --output_dir={data}", "data already exists; give another"),
    (
        "make_sample",
        "--dataset=byte_rec --rows=99 --output_dir={new}",
        "--rows=99: 99 is not integer >= 100",
    ),
    ("make_sample", "--dataset=byte_rec", "Flag --output_dir must have a value"),
    # Rows that a rule splits.
    (
        "prepare",
        "--spec={rows} --files={rows} --split=0.8,0.1 --output_dir={new}",
        "--split=0.8,0.1: 0.8,0.1 is not three shares; give three for train, validation and test",
    ),
    (
        "prepare",
        "--spec={rows} --files={rows} --split=80,10,10 --output_dir={new}",
        "the shares 80,10,10 sum to 100, not to 1",
    ),
    (
        "prepare",
        "--spec={rows} --files={rows} --split=most,a,few --output_dir={new}",
        "--split=most,a,few is not a list of numbers; give shares such as 0.8,0.1,0.1.",
    ),
    (
        "prepare",
        "--spec={rows} --files={rows} --split_by=time: --output_dir={new}",
        "--split_by=time:: the column's name is missing.",
    ),
    (
        "prepare",
        "--spec={rows} --files={rows} --test_files={rows} --output_dir={new}",
        "give either --files, whose rows are split, or --test_files and its likes; received both.",
    ),
    (
        "prepare",
        "--spec={rows} --split_by=user --train_files={rows} --output_dir={new}",
        "--split_by goes with --files, whose rows it splits.",
    ),
    ("prepare", "--dataset=synthetic --files={rows} --output_dir={new}", "--files goes with --sp"),
    ("prepare", "--spec={rows} --output_dir={new}", "too, or one set of --files to split."),
    (
        "evaluate",
        "--model={model} --dataset=synthetic --split_of={data}",
        "--split_of goes with --spec and --files, not with --dataset.",
    ),
    (
        "evaluate",
        "--model={model} --dataset=synthetic --split=random_test",
        "--split=random_test is a split of kuairand; data set 'synthetic' has train, validation, t",
    ),
    (
        "evaluate",
        "--model={model} --spec={rows} --files={rows} --split=random_test",
        "--split=random_test is a split of kuairand; files with a --spec have train, validation",
    ),
    (
        "compare",
        "--a={model} --b={model} --input={rows} --split_of={data}",
        "data: these data were prepared from files for each split; give the files of one split",
    ),
    ("compare", "--a={model} --b={model} --input={rows} --split=test", "--split goes with --spl"),
    (
        "benchmark",
        "--dataset=synthetic --models=mptrek --output_dir={new}",
        "did you mean 'mptrec'",
    ),
    ("benchmark", "--dataset=synthetic --heads=promt --output_dir={new}", "mean 'prompt'?"),
    ("benchmark", "--dataset=synthetic --seeds=1,x --output_dir={new}", "'x' is no seed"),
    ("benchmark", "--dataset=synthetic --new_tasks=buy --output_dir={new}", "unknown task 'buy'"),
    ("benchmark", "--dataset=synthetic --output_dir={data}", "not the output directory of a bench"),
    ("benchmark", "--output_dir={none} --render_only", "not the output directory of a benchmark"),
    ("benchmark", "--output_dir={new}", "give either --dataset (built in) or --spec"),
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


def test_text_is_described_without_tensorflow(run, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("city,clicked\n" + "Bern,1\nThun,0\nBasel,0\n" * 9)
    done = run("describe", f"--files={rows}")
    assert done.returncode == 0, done.stderr
    # The spec alone is on standard output; what is for a person's eyes is not.
    assert parse(done.stdout, "spec.yaml").feature_names == ("city",)
    assert "all 27 rows of 1 file" in done.stderr
    output = tmp_path / "spec.yaml"
    done = run("describe", f"--files={rows}", f"--output={output}")
    assert f"written to {output}: check it, then mptrec-prepare --spec={output}" in done.stdout
    assert "city" in done.stdout.splitlines()[4]
    assert parse(output.read_text(), "spec.yaml").task_names == ("clicked",)


def test_a_sample_is_written_without_tensorflow(run, tmp_path):
    output = tmp_path / "sample"
    done = run("make_sample", "--dataset=byte_rec", "--rows=100", f"--output_dir={output}")
    assert done.returncode == 0, done.stderr
    assert len((output / "final_track2_train.txt").read_text().splitlines()) == 100
    assert "Made up in the shape of Byte-Rec" in " ".join(done.stdout.split())
    assert f"mptrec-prepare --dataset=byte_rec --data_dir={output}" in done.stdout


def test_versions_are_verified_with_little_installed(run, paths):
    done = run("verify", f"--model={paths['changed']}/1")
    assert done.stdout == f"{paths['changed']}/1: 4 files are as they were written\n"
    assert (done.returncode, done.stderr) == (0, "")
    shutil.rmtree(paths["changed"] / "2")
    assert run("verify", f"--model={paths['changed']}").stdout == done.stdout
    (paths["changed"] / "1" / "saved_model.pb").unlink()
    done = run("verify", f"--model={paths['changed']}/1")
    assert "changed/1/saved_model.pb is missing, but assets.extra/manifest.json" in done.stderr
    done = run("export", f"--output_dir={paths['model']}", f"--sign_key={paths['private_key']}")
    assert done.stdout == f"signed {paths['model']}/2\n"
    assert f"{paths['model']}/2 has no manifest" in done.stderr
    key = f"--public_key={paths['public_key']}"
    done = run("verify", f"--model={paths['model']}/2", key)
    assert done.stdout == f"{paths['model']}/2: 4 files are as they were written, and signed\n"
    # What the image of the deployment's init container installs.
    code = f"""
import sys
from absl import flags
from mptrec_tf.bin import verify
flags.FLAGS(["verify", "--model={paths["model"]}/2", {key!r}])
verify.main([])
places = [getattr(of, "__file__", None) or "" for of in sys.modules.values()]
print(*{{of.split("site-packages/")[1] for of in places if "site-packages/" in of}}, sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    needed = {path.split("/")[0].split(".")[0] for path in done.stdout.splitlines()[1:]}
    assert needed - {"_distutils_hack"} == {"absl", "cryptography", "_cffi_backend"}


@pytest.mark.parametrize("program", [*PROGRAMS, "pipelines.lineage"])
def test_version_and_help_need_no_tensorflow(run, program):
    import mptrec_tf

    name = f"mptrec-{program.split('.')[-1].replace('_', '-')}"
    done = run(program, "--version")
    assert (done.returncode, done.stdout) == (0, f"{name} {mptrec_tf.__version__}\n")
    done = run(program, "--help")
    assert done.returncode == 0, done.stderr
    assert "--version" in done.stdout
