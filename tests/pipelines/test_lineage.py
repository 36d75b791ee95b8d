import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from components import model_artifact
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.errors import InputError
from pipelines.lineage import find_metadata, trace_model
from pipelines.lineage_tree import make_tree


@pytest.fixture(scope="module")
def lineage(three_runs):
    return trace_model(f"{three_runs.config.serving_dir}/3")


def test_every_training_behind_a_version_is_named_newest_first(lineage, three_runs):
    trainings = lineage["trainings"]
    assert [training["tasks"] for training in trainings] == [
        ["purchase"],
        ["share"],
        ["click", "like"],
    ]
    assert [training["component"] for training in trainings] == [
        "PromptTuner",
        "PromptTuner",
        "Pretrainer",
    ]
    runs = {training["run"]["run"] for training in trainings}
    assert len(runs) == 3
    assert lineage["push"]["run"] == trainings[0]["run"]["run"]
    for training, results in zip(reversed(trainings), three_runs.results, strict=True):
        expected = {task: m["auc"] for task, m in results.load_metrics("candidate").items()}
        assert training["evaluations"][0]["scores"]["candidate"] == expected
    assert "baseline" not in trainings[2]["evaluations"][0]["scores"]


def test_data_backbone_and_blessings(lineage, three_runs):
    model = model_artifact.load(lineage["model"])
    assert lineage["backbone"] == {
        "fingerprint": model.backbone.fingerprint,
        "tasks": ["click", "like"],
    }
    assert lineage["added_tasks"] == sorted(["share", "purchase"])
    for training in lineage["trainings"]:
        description = read_description(training["data"]["uri"])
        assert training["data"]["rows_fingerprint"] == description["fingerprint"]
        labels = description["splits"]["train"]["tasks"]
        assert training["data"]["labels"]["train"] == {
            task: labels[task] for task in training["tasks"]
        }
        blessed_by = {b["by"] for b in training["blessings"] if b["blessed"]}
        assert {"Evaluator", "ServingCheck"} <= blessed_by
        assert ("FrozenTaskValidator" in blessed_by) == bool(training["package"])
    read = [training["inputs"] for training in lineage["trainings"]]
    assert read[0]["schema"] == read[1]["schema"] == read[2]["schema"]  # the backbone's
    assert Path(read[0]["schema"]["uri"], "schema.pbtxt").is_file()
    assert len({inputs["statistics"]["uri"] for inputs in read}) == len(
        {training["data"]["uri"] for training in lineage["trainings"]}
    )
    assert all(len(value["sha256"]) == 64 for inputs in read for value in inputs.values())


def test_the_checks_of_a_run_are_its_own(lineage, three_runs):
    for training in lineage["trainings"]:
        checks = [*training["evaluations"], *training["blessings"]]
        assert {check["run"]["run"] for check in checks} == {training["run"]["run"]}
        assert len(checks) == (4 if training["package"] else 3)
        assert set(training["tasks"]) <= set(training["evaluations"][0]["scores"]["candidate"])
    # The inputs of version 3's pusher and the readers of version 2's model lead to the same.
    older = trace_model(f"{three_runs.config.serving_dir}/2/")
    assert older["version"] == f"{three_runs.config.serving_dir}/2"
    assert older["trainings"] == lineage["trainings"][1:]


def test_the_tree_shows_it(lineage):
    console = Console(width=250, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(make_tree(lineage))
    text = console.export_text()
    for training in lineage["trainings"]:
        assert training["data"]["rows_fingerprint"] in text
        assert f"(run {training['run']['run']})" in text
        for task, of in training["data"]["labels"]["train"].items():
            assert f"{task} {of['positives']:,}" in text
        assert ", ".join(training["tasks"]) in text
    assert lineage["backbone"]["fingerprint"] in text
    assert "not blessed" not in text


def test_the_tree_shows_a_rejection_and_a_task_without_auc(lineage):
    changed = json.loads(json.dumps(lineage))
    changed["trainings"][0]["blessings"][0]["blessed"] = False
    changed["trainings"][0]["evaluations"][0]["scores"]["candidate"]["share"] = None
    console = Console(width=250)
    with console.capture() as capture:
        console.print(make_tree(changed))
    assert capture.get().count("not blessed by ") == 1
    assert "share -" in capture.get()


def test_the_program_prints_it_and_writes_it(lineage, three_runs, run_program, tmp_path):
    output = tmp_path / "lineage.json"
    model = f"--model={three_runs.config.serving_dir}"
    done = run_program("pipelines.lineage", model, f"--output={output}")
    assert lineage["backbone"]["fingerprint"] in done.stdout
    written = json.loads(output.read_text())
    assert written == lineage
    assert not done.stderr


def test_what_no_pipeline_pushed(three_runs, tmp_path):
    copy = shutil.copytree(f"{three_runs.config.serving_dir}/3", tmp_path / "3")
    with pytest.raises(
        InputError, match=r"no record of a pipeline that pushed .*/3; give the metadata"
    ):
        trace_model(str(copy))
    (copy / "assets.extra" / "pushed.json").unlink()
    with pytest.raises(InputError, match=r"/3 was not pushed by a pipeline"):
        trace_model(str(copy))


def test_metadata_that_is_not_there(three_runs, tmp_path):
    with pytest.raises(InputError, match="there is no ML Metadata in"):
        trace_model(f"{three_runs.config.serving_dir}/3", str(tmp_path / "metadata.sqlite"))
    for content in ("", "no data base"):
        (tmp_path / "other.sqlite").write_text(content)
        with pytest.raises(
            InputError, match=r"cannot read ML Metadata|no record of a pipeline that"
        ):
            trace_model(f"{three_runs.config.serving_dir}/3", str(tmp_path / "other.sqlite"))
    with pytest.raises(InputError, match=r"no metadata\.sqlite above .*; name it by"):
        find_metadata(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("model", "model.json is missing"),
        ("schema", "is gone; restore it"),
        ("evaluation", "cannot read the evaluation in"),
        ("examples", "examples.json"),
    ],
)
def test_what_made_it_is_gone(lineage, three_runs, tmp_path, part, message):
    first = lineage["trainings"][2]
    uri = {
        "model": first["model"],
        "schema": first["inputs"]["schema"]["uri"],
        "evaluation": three_runs.results[0].artifact("Evaluator", "evaluation").uri,
        "examples": first["data"]["uri"],
    }[part]
    shutil.move(uri, tmp_path / "moved")
    try:
        with pytest.raises(InputError, match=message):
            trace_model(f"{three_runs.config.serving_dir}/3")
    finally:
        shutil.move(tmp_path / "moved", uri)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Flag --model must have a value"),
        (["--model=nowhere"], "nowhere holds no exported model"),
        (["--model=nowhere", "--output=no/such/file.json"], "there is no directory no/such"),
    ],
)
def test_the_program_rejects_flags_in_a_sentence(run_program, flags, message):
    done = run_program("pipelines.lineage", *flags, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
