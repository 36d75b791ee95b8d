"""A renewal from raw rows to a pushed version; killed, blocked, overtaken, without labels."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import csv
import json
import shutil
from types import SimpleNamespace

import pytest

from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.gate import CALIBRATION
from mptrec_tf.export.integrity import check_version, sign_version
from mptrec_tf.export.signing import read_private_key, read_public_key
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.renewal import refresh as renewal
from mptrec_tf.renewal.plan import make_plan
from mptrec_tf.renewal.refresh import push, refresh
from mptrec_tf.storage.directories import copy_directory


def test_the_candidate_has_all_tasks_with_their_heads(renewed, trained):
    folder, _, _ = renewed
    old, old_packages = load_parts(str(trained))
    new, new_packages = load_parts(str(folder / "model"))
    assert new.shape.tasks == old.shape.tasks == ("click", "like")
    assert [p.task.name for p in new_packages] == ["seconds", "share"]
    for before, after in zip(old_packages, new_packages, strict=True):
        assert after.head.config.tower_units == before.head.config.tower_units
        assert type(after.head) is type(before.head)
        assert after.training["training"] == before.training["training"]
        assert after.task.same_rule(before.task)
        assert after.backbone == new.fingerprint != old.fingerprint
    for before, after in ((old, new), *zip(old_packages, new_packages, strict=True)):
        # A warm training is short, and what is recorded is a whole one, for the next renewal.
        assert len(after.training["history"]) == 1 < len(before.training["history"])
        assert after.training["training"]["epochs"] == before.training["training"]["epochs"]
    [seconds] = [p.task for p in new_packages if p.task.name == "seconds"]
    assert seconds.mean != 0.0  # fitted anew


def test_production_is_worse_on_the_new_month(renewed):
    folder, plan, verdicts = renewed
    assert [(v.task, v.measure) for v in verdicts] == [
        ("click", "AUC"),
        ("click", CALIBRATION),
        ("like", "AUC"),
        ("like", CALIBRATION),
        ("seconds", "concordance"),
        ("share", "AUC"),
        ("share", CALIBRATION),
    ]
    by_task = {v.task: v for v in verdicts if v.measure != CALIBRATION}
    seconds = by_task["seconds"]
    assert seconds.candidate > seconds.production  # a third of its users are new to production
    assert seconds.outcome == "better"
    stored = json.loads((folder / "comparison.json").read_text())
    assert stored["production"] == plan.version
    assert stored["tasks"][0]["task"] == "click"
    assert stored["tasks"][0]["difference"] == pytest.approx(
        by_task["click"].candidate - by_task["click"].production
    )


def test_a_push_adds_a_version_and_leaves_the_old_one(renewed, production, digest):
    folder, _, verdicts = renewed
    plan = make_plan(str(production))
    before = digest(production / "1")
    assert push(plan, str(folder), verdicts, ["click"]) == f"{production}/2"
    assert digest(production / "1") == before
    assert sorted(path.name for path in production.iterdir()) == ["1", "2"]
    record = json.loads((production / "2" / renewal.RENEWAL).read_text())
    check_version(str(production / "2"), required=True)
    assert record["renews"] == 1
    assert record["accepted"] == []  # click was not blocked
    assert set(LoadedModel(str(production)).spec.task_names) == {
        "click",
        "like",
        "share",
        "seconds",
    }


def test_a_version_that_somebody_else_pushed_meanwhile(renewed, production, month, open_rows):
    folder, _, verdicts = renewed
    plan = make_plan(str(production))
    copy_directory(str(production / "1"), str(production / "2"))
    with pytest.raises(InputError, match=r"shop/2 was pushed while .*shop/1 was renewed"):
        push(plan, str(folder), verdicts, [])
    again = make_plan(str(production))
    with pytest.raises(InputError, match="a renewal of version 1, and the newest is 2 now"):
        refresh(again, open_rows(month(1), again.spec), str(folder))
    assert sorted(path.name for path in production.iterdir()) == ["1", "2"]


def test_a_version_that_somebody_else_pushes_in_the_same_moment(renewed, production, monkeypatch):
    folder, _, verdicts = renewed
    plan, check = make_plan(str(production)), renewal.check_version

    def overtake(path):
        copy_directory(str(production / "1"), str(production / "7"))
        return check(path)

    monkeypatch.setattr(renewal, "check_version", overtake)
    with pytest.raises(InputError, match="shop/7 was pushed while"):
        push(plan, str(folder), verdicts, [])
    assert sorted(path.name for path in production.iterdir()) == ["1", "7"]


def test_a_damaged_version_or_candidate(renewed, production, tmp_path):
    folder, _, verdicts = renewed
    plan = make_plan(str(production))
    shutil.copytree(folder, tmp_path / "refresh")
    card = tmp_path / "refresh" / "model" / "1" / "assets.extra" / "model_card.json"
    card.write_text(card.read_text() + " ")
    with pytest.raises(InputError, match=r"model_card\.json was changed after"):
        push(plan, str(tmp_path / "refresh"), verdicts, [])
    assert [path.name for path in production.iterdir()] == ["1"]
    [task] = (production / "1").rglob("tasks/share/task.json")
    task.write_text(task.read_text() + " ")
    with pytest.raises(InputError, match=r"share/task\.json was changed after"):
        make_plan(str(production))


def test_another_renewal_in_the_same_directory(renewed, trained, month, open_rows):
    folder, _, _ = renewed
    plan = make_plan(str(trained), seed=5)
    with pytest.raises(InputError, match="another renewal, which differs in its heads"):
        refresh(plan, open_rows(month(1), plan.spec), str(folder))


def test_other_rows_in_the_same_directory(renewed, month, open_rows):
    folder, plan, _ = renewed
    with pytest.raises(InputError, match=r"another renewal, which differs in its rows;"):
        refresh(plan, open_rows(month(2), plan.spec), str(folder))


def test_rows_are_described_alike_from_another_working_directory(month, open_rows, monkeypatch):
    source = open_rows(month(1))
    described = renewal._describe_rows(source)
    monkeypatch.chdir(month(1))
    near = {split: [f"{split}.csv"] for split in ("train", "validation", "test")}
    assert renewal._describe_rows(Tabular(source.spec, near)) == described
    assert described["first_test_row"]["user"].startswith("u")


def test_a_directory_that_holds_something_else_or_is_in_the_model(
    production, month, open_rows, tmp_path, monkeypatch
):
    source, plan = open_rows(month(1)), make_plan(f"{production}//")
    assert plan.version == f"{production}/1"
    (tmp_path / "mine" / "data").mkdir(parents=True)
    with pytest.raises(InputError, match=r"mine holds 'data' and no renewal \(plan.json\)"):
        refresh(plan, source, str(tmp_path / "mine"))
    monkeypatch.chdir(production / "1")
    for inside in (str(production), f"{production}/2", "../1/refresh"):
        with pytest.raises(InputError, match="from which versions are served"):
            refresh(plan, source, inside)
    assert [path.name for path in production.iterdir()] == ["1"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*file"):
        refresh(plan, source, str(tmp_path / "file"))


def test_a_renewal_that_goes_on_encodes_what_it_encoded_before(tmp_path, monkeypatch):
    """Rows of fewer tasks might fit in memory, and be trained on in another order."""
    (tmp_path / "tasks" / "share").mkdir(parents=True)
    encoded, learnt = [], []
    monkeypatch.setattr(renewal, "PromptedMPTRec", lambda model: model)
    monkeypatch.setattr(renewal, "load_package", lambda path, backbone: path)
    monkeypatch.setattr(
        renewal, "encode_task", lambda model, data, tasks, context: encoded.append(tasks) or tasks
    )
    monkeypatch.setattr(
        renewal, "select_task", lambda rows, tasks, name: (rows, [*tasks].index(name))
    )
    monkeypatch.setattr(renewal, "_learn", lambda plan, name, *of: learnt.append((name, of[-1])))
    plan = SimpleNamespace(heads={"share": None, "seconds": None})
    backbone = SimpleNamespace(model=None)
    renewal._learn_all(plan, None, backbone, str(tmp_path / "tasks"), None, memory_limit=0)
    assert encoded == [["share", "seconds"]]
    assert learnt == [("seconds", (["share", "seconds"], 1))]


class KilledError(Exception):
    """Stands in for the end of a process."""


def die(*args, **kwargs):
    raise KilledError


def rewrite(source, target, change):
    """Copies a month's files with changed rows."""
    target.mkdir()
    for path in source.iterdir():
        with open(path, newline="") as file:
            rows = [change(row) for row in csv.DictReader(file)]
        with open(target / path.name, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row | {"shared": ""}, "share"),
        (lambda row: {k: v for k, v in row.items() if k != "clicked"}, "--retire=click"),
    ],
)
def test_labels_of_a_task_that_are_nowhere(
    trained, month, open_rows, tmp_path, digest, change, message
):
    before = digest(trained)
    plan = make_plan(str(trained))
    rows = rewrite(month(1), tmp_path / "rows", change)
    with pytest.raises(InputError, match=message):
        refresh(plan, open_rows(rows, plan.spec), str(tmp_path / "refresh"))
    assert digest(trained) == before
    assert sorted(path.name for path in (tmp_path / "refresh").iterdir()) == ["lock", "plan.json"]
    retired = make_plan(str(trained), retire=[message.rpartition("=")[2]])
    source = open_rows(rows, retired.spec)
    with pytest.MonkeyPatch.context() as patch:  # the same directory takes other flags now
        patch.setattr(renewal, "prepare", die)
        with pytest.raises(KilledError):
            refresh(retired, source, str(tmp_path / "refresh"))


def test_the_program_blocks_then_pushes_what_is_accepted(
    renewed, production, month, key_files, tmp_path, run_program
):
    folder, _, _ = renewed
    shutil.copytree(folder, tmp_path / "refresh")
    rows = month(1)
    flags = [
        f"--model={production}",
        f"--output_dir={tmp_path}/refresh",
        *(f"--{split}_files={rows}/{split}.csv" for split in ("train", "validation", "test")),
        "--least_positives=100",  # share and like have fewer of the rarer label
    ]
    other = run_program("refresh", *flags, "--spec=other.yaml", check=False)
    assert f"features and labels are those of the model in {production}/1" in other.stderr
    blocked = run_program("refresh", *flags, check=False)
    assert blocked.returncode == 1
    assert "nothing is pushed, and production is as it was: task 'click' has" in blocked.stderr
    assert "too few rows" in blocked.stdout
    assert "has too few test rows to know whether it is worse" in blocked.stderr
    names = blocked.stderr.rpartition("--accept=")[2].strip().rstrip(".")
    assert "share" in names
    assert [path.name for path in production.iterdir()] == ["1"]
    private, public = key_files
    sign = f"--sign_key={private}"
    unsigned = run_program("refresh", *flags, f"--accept={names}", sign, check=False)
    assert f"{production}/1 is not signed" in unsigned.stderr
    sign_version(str(production / "1"), read_private_key(private))
    pushed = run_program("refresh", *flags, f"--accept={names}", sign)
    check_version(str(production / "2"), read_public_key(public))
    assert f"pushed as {production}/2" in pushed.stdout
    record = json.loads((production / "2" / renewal.RENEWAL).read_text())
    assert record["accepted"] == sorted(names.split(","))
    again = run_program("refresh", *flags, check=False)
    assert f"was pushed already, as {production}/2 shows" in again.stderr
