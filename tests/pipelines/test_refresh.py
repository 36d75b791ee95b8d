"""A renewal of the model in production by its pipeline: a second generation, and its lineage."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from rich.console import Console

from components import model_artifact
from components.pusher.executor import PUSHED_FILE
from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.versions import list_versions
from mptrec_tf.renewal.generations import list_generations
from mptrec_tf.renewal.plan import RENEWAL, make_plan
from pipelines.config import REFRESH
from pipelines.lineage import trace_model
from pipelines.lineage_tree import make_tree


def print_tree(lineage):
    console = Console(width=250)
    with console.capture() as capture:
        console.print(make_tree(lineage))
    return capture.get()


@pytest.fixture(scope="module")
def refreshed(three_runs, tmp_path_factory, change, without_xla):
    """Pipelines on a copy of production, which they renewed: share promoted, like retired."""
    folder = tmp_path_factory.mktemp("refresh") / "models"
    shutil.copytree(three_runs.config.serving_dir, folder)
    plan = make_plan(str(folder), promote=["share"], retire=["like"])
    # No gate: what a few rows say about a worse task is noise.
    tasks = plan.spec.task_names
    pipelines = change(
        three_runs,
        serving_dir=str(folder),
        least=dict.fromkeys(tasks, 0.0),
        margin=1.0,
        calibration_margin=9.0,
        least_positives=1,
    )
    pipelines.config = replace(
        pipelines.config, source=replace(pipelines.config.source, tasks=tasks)
    )
    with without_xla():
        pipelines.results = pipelines.refresh(plan)
    return pipelines


def test_a_version_with_all_tasks_on_a_new_backbone(refreshed, three_runs):
    base = refreshed.config.serving_dir
    assert list_versions(base) == [1, 2, 3, 4]
    model = model_artifact.load(refreshed.results.artifact("PromptTuner_purchase", "model").uri)
    before = model_artifact.load(three_runs.results[-1].artifact("PromptTuner", "model").uri)
    assert model.tasks == ("click", "share", "purchase")
    assert model.backbone.shape.tasks == ("click", "share")
    assert model.backbone.fingerprint != before.backbone.fingerprint
    [purchase] = model.packages
    [old] = [package for package in before.packages if package.task.name == "purchase"]
    assert type(purchase.head) is type(old.head)
    assert purchase.training["training"] == old.training["training"]
    record = json.loads(Path(base, "4", RENEWAL).read_text())
    assert record == {
        "renews": 3,
        "backbone": before.backbone.fingerprint,
        "retired": ["like"],
        "accepted": [],
    }
    check_version(f"{base}/4", required=True)
    for version in ("1", "2", "3"):
        assert check_version(f"{base}/{version}") == check_version(
            f"{three_runs.config.serving_dir}/{version}"
        )


def test_the_new_backbone_began_with_the_old_weights(refreshed, read_last_states):
    assert set(read_last_states(refreshed, REFRESH).values()) <= {"complete", "cached"}
    model = model_artifact.load(refreshed.results.artifact("Pretrainer", "model").uri)
    assert model.tasks == ("click", "share")
    # Thirty epochs gave the old one its score; the first of the new one has it nearly.
    key = model.tasks_by_name["click"].score_log
    first, *others = [epoch[key] for epoch in model.backbone.training["history"]]
    assert first > max(others) - 0.03


def test_lineage_shows_both_generations(refreshed, three_runs):
    base = refreshed.config.serving_dir
    lineage = trace_model(f"{base}/4")
    assert [training["tasks"] for training in lineage["trainings"]] == [
        ["purchase"],
        ["click", "share"],
    ]
    old = three_runs.results[-1].artifact("PromptTuner", "model").uri
    assert [training["renews"] for training in lineage["trainings"]] == [None, old]
    new, before = lineage["generations"]
    assert new["backbone"] == lineage["backbone"]["fingerprint"]
    assert new["versions"] == [{"version": 4, "added_tasks": ["purchase"]}]
    assert (new["renews"], new["retired"], new["accepted"]) == (3, ["like"], [])
    assert [of["version"] for of in before["versions"]] == [1, 2, 3]
    assert before["renews"] is None
    text = print_tree(lineage)
    assert "renews version 3" in text
    assert "retired: like" in text
    assert f"renews the backbone of {old}" in text
    assert "generations" not in print_tree(trace_model(f"{three_runs.config.serving_dir}/3"))


def test_generations_of_what_mptrec_refresh_pushed(refreshed, tmp_path):
    base = shutil.copytree(refreshed.config.serving_dir, tmp_path / "models")
    (base / "4" / PUSHED_FILE).unlink()
    shutil.rmtree(base / "2")
    lineage = trace_model(str(base / "4"))
    assert lineage.keys() == {"version", "generations"}
    assert [len(of["versions"]) for of in lineage["generations"]] == [1, 2]  # 2 is gone
    assert "4   pushed by mptrec-refresh" in print_tree(lineage)
    (base / "4" / RENEWAL).write_text("{}")
    with pytest.raises(InputError, match=r"renewal\.json is damaged"):
        list_generations(str(base / "4"))
    assert list_generations(str(shutil.copytree(base / "3", tmp_path / "copy"))) == []


# The local program with pipelines that only tell what is asked of them.
LOCAL = """
import json, sys, types
from absl import flags
from pipelines import local


class Pipelines:
    def __init__(self, config, training, head, model):
        self.files = dict(config.source.files)

    def refresh(self, plan, warm, schema_file):
        heads = {name: how.head for name, how in plan.heads.items()}
        seeds = [how.training["seed"] for how in plan.heads.values()]
        print(json.dumps([plan.pretraining.tasks, heads, seeds, warm, self.files]))

    def query(self):
        print("query")

    def print_tables(self):
        print("tables")


sys.modules["pipelines.local_pipelines"] = types.SimpleNamespace(LocalPipelines=Pipelines)
local.main(flags.FLAGS(["local", *json.load(sys.stdin)], known_only=True)[1:])
"""


def test_the_local_program(three_runs):
    files = {split: f"/new/{split}-{{SPAN}}.csv" for split in ("train", "validation", "test")}
    given = ["--run=refresh", "--promote=share", "--seed=5", "--head=auto", "--from_scratch"]
    given += [f"--serving_dir={three_runs.config.serving_dir}", "--root=/r"]
    given += [f"--{split}_files={path}" for split, path in files.items()]
    done = subprocess.run(
        [sys.executable, "-c", LOCAL],
        cwd=Path(__file__).parents[2],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked, *rest = done.stdout.splitlines()
    expected = [["click", "like", "share"], {"purchase": "auto"}, [5], False, files]
    assert json.loads(asked) == expected
    assert rest == ["query", "tables"]


def test_compiled_for_kubeflow(three_runs, run_program, tmp_path):
    base = three_runs.config.serving_dir
    flags = ["--pipeline=refresh", "--image=i", "--pipeline_root=gs://b/r", "--files=gs://b/*.csv"]
    flags += [f"--serving_dir={base}", f"--output={tmp_path}/job.json", "--split_by=user_id"]
    done = run_program("pipelines.kubeflow", *flags)
    assert "refresh pipeline written to" in done.stdout
    job = json.loads((tmp_path / "job.json").read_text())
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    tasks = spec.root.dag.tasks

    def producer(task):
        return tasks[task].inputs.artifacts["base_model"].task_output_artifact.producer_task

    trainings = [name for name in tasks if name.startswith("PromptTuner_")]
    assert sorted(trainings) == ["PromptTuner_purchase", "PromptTuner_share"]
    assert producer("Pretrainer") == "ProductionModel"
    assert producer("PromptTuner_purchase") == "Pretrainer"
    assert producer("PromptTuner_share") == "PromptTuner_purchase"
    assert "FrozenTaskValidator" not in tasks
    custom = tasks["PromptTuner_share"].inputs.parameters["custom_config"].runtime_value
    old = three_runs.results[-1].artifact("PromptTuner", "model").uri
    assert json.loads(custom.constant_value.string_value)["renews"] == old


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run=refresh", "--epochs=3"], "--epochs does not go with refresh: columns, tasks and"),
        (["--run=refresh", "--base_model=m"], "--base_model goes with add_task, not with refresh"),
        (["--run=refresh", "--spec=shop.yaml"], "--spec does not go with refresh"),
        (["--run=add_task", "--retire=like"], "--retire goes with refresh, not with add_task"),
        (["--run=refresh", "--retire=lik"], "--retire names 'lik', and the tasks of the model are"),
        (["--run=refresh"], "your own data need files for train, validation, test; received none"),
        (["--run=refresh", "--dataset=synthetic_logs"], "data set 'synthetic_logs'"),
    ],
)
def test_flags_that_do_not_go_together(three_runs, run_program, tmp_path, flags, message):
    place = [f"--serving_dir={three_runs.config.serving_dir}", f"--root={tmp_path}/root"]
    done = run_program("pipelines.local", *flags, *place, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "root").exists()


def test_another_one_renews_meanwhile(refreshed, change, tmp_path, monkeypatch):
    """All is cached but the pusher, which is started again for another directory."""
    base = tmp_path / "models"
    for version in ("1", "2", "3"):
        shutil.copytree(Path(refreshed.config.serving_dir, version), base / version)
    plan = make_plan(str(base), promote=["share"], retire=["like"])
    pipelines = change(refreshed, serving_dir=str(base))
    run = pipelines._run

    def overtake(*args):
        shutil.copytree(base / "2", base / "4")
        return run(*args)

    monkeypatch.setattr(pipelines, "_run", overtake)
    with pytest.raises(InputError, match=f"Pusher: {base}/4 was pushed meanwhile"):
        pipelines.refresh(plan)
    assert sorted(path.name for path in base.iterdir()) == ["1", "2", "3", "4"]
    assert not (base / "4" / RENEWAL).exists()
