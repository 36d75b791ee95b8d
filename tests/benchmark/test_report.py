"""Results become tables, figures and a page; numbers by hand."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mptrec_tf.benchmark import paper, rank_tables, tables, unseen
from mptrec_tf.benchmark.cells import AddTask, Prepare, Serve, Train
from mptrec_tf.benchmark.place import open_place
from mptrec_tf.benchmark.report import render
from mptrec_tf.benchmark.results import Results
from mptrec_tf.benchmark.sources import RowSource
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc

OLD, NEW = ("click", "like"), "share"
DATA = Prepare(paper.LEFT_OUT, (*OLD, NEW))
GRID = {
    "suite": "paper",
    "source": {"dataset": "synthetic"},
    "tasks": list(OLD),
    "new_tasks": [NEW],
    "quick": False,
    "tune": 0,
}
COUNT = 4000
# How far a method's predictions are from the labels: the smaller, the better.
NOISE = {"mptrec": 1.0, "single": 1.3, "shared_bottom": 1.008}


@pytest.fixture(scope="module")
def labels():
    random = np.random.default_rng(0)
    return {task: random.integers(2, size=COUNT).astype(np.float32) for task in (*OLD, NEW)}


@pytest.fixture(scope="module")
def place(labels, tmp_path_factory):
    """An output directory with results that were made up: labels and noise."""
    place = open_place(str(tmp_path_factory.mktemp("report") / "out"), RowSource("synthetic"), GRID)
    splits = {"train": {"rows": 100, "tasks": {t: {"positives": 40} for t in labels}}}
    data = {"name": "synthetic", "splits": splits}
    np.savez(place.arrays(DATA), **{f"label/{k}": v for k, v in labels.items()})
    kinds = {t: BinaryTask(t, t, ("1",)).to_plain() for t in labels}
    meta = {"machine": {"processor": "P", "cores": 2}, "threads": 1, "commit": "a" * 40}
    place.write(DATA, {"data": data, "features": 9, "tasks": kinds, **meta})

    def write(cell, tasks, noise, **fields):
        arrays = {}
        for task in tasks:
            # The same noise of the rows for all, and noise of its own.
            rows = np.random.default_rng(len(task)).normal(size=COUNT)
            own = np.random.default_rng([cell.seed, len(cell.title)]).normal(size=COUNT)
            arrays[f"prediction/{task}"] = labels[task] + noise * rows + 0.15 * own
        scores = {t: auc(labels[t], arrays[f"prediction/{t}"]) for t in tasks}
        extra = fields.pop("arrays", {})
        np.savez(place.arrays(cell), **arrays, **extra)
        result = {"scores": {"test": scores, "validation": scores}, "data": data, **meta}
        place.write(cell, {**result, "epochs": 2, "seconds": 3.0, "flops": 1.5e9, **fields})

    for seed in (1, 2):
        for model, noise in NOISE.items():
            backbone = Train(DATA, OLD, model, seed, "two_tasks", keep=True)
            logs = [
                {f"val_auc/{t}": 0.7 + epoch / 10 for t in OLD} | {"gate/click": 0.5 + epoch / 10}
                for epoch in range(2)
            ]
            random = np.random.default_rng(seed)
            values = random.normal(size=(30, 3, 8)) + np.arange(3)[:, None]
            shown = {"representations": values, "shared": 1, "prompts": random.normal(size=(2, 8))}
            settings = {"losses": {"gen_weight": 0.9}}
            common = {"history": logs, "settings": settings, "parameters": 1000, "bytes": 4000}
            write(backbone, OLD, noise, arrays=shown, **common, joint_parameters=1200)
            joint = Train(DATA, (*OLD, NEW), model, seed, "joint")
            write(joint, (*OLD, NEW), noise + 0.3, **common, joint_parameters=1200)
            for head, worse in (("auto", 0.0), ("prompt", 0.4)):
                heads = {"chosen": "residual" if head == "auto" else head, "parameters": 60}
                write(
                    AddTask(backbone, NEW, head),
                    [NEW],
                    noise + worse,
                    arrays={"prompt": random.normal(size=(1, 8))},
                    **heads,
                    joint_parameters=1200,
                    bytes=300,
                    old_tasks_unchanged=True,
                    history=[{f"val_auc/{NEW}": 0.7}],
                )
                if model == "mptrec":
                    heads["old_tasks_unchanged"] = True
                    write(AddTask(backbone, NEW, head, share=0.2), [NEW], noise + 1, **heads)
        write(Train(DATA, (NEW,), "single", seed, "alone"), [NEW], 1.2, parameters=500, bytes=2000)
        write(Train(DATA, (NEW,), "single", seed, "alone", share=0.2), [NEW], 2.2)
        for value in (0.0, 0.3):
            cell = Train(
                DATA,
                OLD,
                "mptrec",
                seed,
                "sensitivity",
                f"gen_weight={value:g}",
                losses={"gen_weight": value},
            )
            write(cell, OLD, 1.2, history=[])
        ablation = Train(DATA, OLD, "mptrec", seed, "ablation", "share_only")
        write(ablation, OLD, 1.5, history=[])
    first = Train(DATA, OLD, "mptrec", 1, "two_tasks", keep=True)
    times = {"alone_milliseconds": 1.0, "saved_model_bytes": 9000, "candidates": 64}
    place.write(
        Serve(first, "prompt"),
        {
            **times,
            "one_more_microseconds": 20.0,
            "one_more_share": 0.02,
            "first_microseconds": 99.0,
        },
    )
    alone = Train(DATA, (NEW,), "single", 1, "alone", keep=True)
    place.write(Serve(alone), {**times, "alone_milliseconds": 0.7})
    place.write_failure(Train(DATA, OLD, "mptrec", 3, "two_tasks", keep=True), "no memory | left")
    place.collect()
    return place


@pytest.fixture(scope="module")
def results(place):
    return Results(place.directory, GRID)


@pytest.fixture(scope="module")
def report(place, results):
    """The report's directory and its tables by title."""
    directory = Path(place.directory) / "report"
    return directory, {table.title: table for table in render(results, paper.PAPER, str(directory))}


def test_methods_are_compared_with_the_best(results):
    rows = results.select(kind="train", role="two_tasks", task="click")
    compared = results.compare_to_best(rows)
    scores = rows[rows.method == "mptrec"].score.dropna()
    best = compared.loc["mptrec"]
    assert best["mean"] == pytest.approx(scores.mean())
    assert best["deviation"] == pytest.approx(scores.std())
    assert (best["seeds"], best["failed"], best["rank"], best["behind"]) == (2, 1, 1, 0)
    close, far = compared.loc["shared_bottom"], compared.loc["single"]
    assert (close["rank"], far["rank"]) == (2, 3)
    assert close["p"] > 0.05 > far["p"]
    assert far["behind"] == pytest.approx(best["mean"] - far["mean"], abs=1e-9)


def test_the_best_is_bold_the_second_in_italics_and_noise_is_marked(report):
    _, by_title = report
    table = by_title[f"Models of click, like; {paper.LEFT_OUT}"]
    cells = dict(zip(table.shown.model, table.shown["click AUC"], strict=True))
    assert re.fullmatch(r"\*\*0\.\d{4} ± 0\.\d{4}\*\* \(1 failed\)", cells["mptrec"])
    assert re.fullmatch(r"\*0\.\d{4} ± 0\.\d{4}\* ≈", cells["shared_bottom"])
    assert re.fullmatch(r"0\.\d{4} ± 0\.\d{4}", cells["single"])
    assert list(table.shown["FLOPs of training"]) == ["1.5e+09"] * 3


def test_a_new_task_and_its_costs(report):
    _, by_title = report
    table = by_title["New task share"].shown.set_index("method")
    row = table.loc["mptrec, then auto"]
    assert row["share of joint"] == "5.0%"  # 60 of 1,200
    assert row["auto chose"] == "residual, residual"
    assert row["bytes"] == "300"
    assert table.loc["mptrec, then prompt", "one more served, µs"] == "20"
    assert table.loc["single, alone", "share of joint"] == "-"
    costs = by_title["What one more task costs when it is served"].shown
    costs = costs.set_index("one more task as")
    own = costs.loc["a model of its own (single)"]
    assert (own["µs of a request"], own["of the model"]) == ("700", "70.0%")
    assert (own["features fetched"], own["models to watch"]) == ("9", "1")
    head = costs.loc["head prompt on mptrec"]
    assert (head["µs of a request"], head["features fetched"]) == ("20", "0")


def test_joint_training_changes_old_tasks_and_heads_do_not(report, results):
    _, by_title = report
    table = by_title["What a new task does to the old tasks"]
    row = table.numbers[(table.numbers.model == "mptrec") & (table.numbers["old task"] == "like")]
    assert row.change.item() < -0.02
    assert row.change.item() == pytest.approx(
        row["after joint training"].item() - row.before.item(), abs=1e-9
    )
    assert row.p.item() < 1e-6
    assert set(table.shown["change by a new head"]) == {"0, bit for bit"}
    assert set(table.shown["heads that left it unchanged"]) == {"8 of 8", "4 of 4"}


def test_fewer_labels_have_their_columns(report):
    _, by_title = report
    table = by_title["New task share with fewer labels"].shown.set_index("method")
    assert list(table.columns) == ["20% of labels", "100% of labels"]
    assert table.loc["auto chose", "20% of labels"] == "residual, residual"
    assert table.loc["positive training rows", "100% of labels"] == "40"


def test_fewer_labels_in_the_mean_over_tasks():
    def row(task, method, share, score, kind="add_task", role="two_tasks"):
        fields = {"kind": kind, "role": role, "variant": "", "task": task, "method": method}
        return {**fields, "share": share, "score": score, "chosen": None, "head": "fixed"}

    alone = {"kind": "train", "role": "alone"}
    few = object.__new__(Results)
    few.new = ("buy", "share")
    few.rows = pd.DataFrame(
        [
            *(row("buy", "ours", 0.001, 0.7), row("share", "ours", 0.001, 0.6)),
            *(row("buy", "ours", 1.0, 0.9), row("share", "ours", 1.0, 0.8)),
            *(row("buy", "alone", 0.001, 0.5, **alone), row("share", "alone", 0.001, 0.7, **alone)),
            # Run on one of the tasks only, or with all labels only.
            *(row("buy", "alone", 1.0, 0.9, **alone), row("buy", "other", 1.0, 0.95)),
        ]
    )
    [table] = tables._make_label_summary(few)
    assert table.shown.set_index("method").to_dict("index") == {
        "ours": {"0.1% of labels": "0.6500", "100% of labels": "0.8500"},
        "alone": {"0.1% of labels": "0.6000", "100% of labels": tables.NONE},
    }
    few.new = ("buy",)
    assert tables._make_label_summary(few) == []


def test_ranks_say_how_many_tasks_there_were(report):
    _, by_title = report
    table = by_title["Mean ranks: models on the old tasks"]
    assert dict(zip(table.numbers.method, table.numbers["mean rank"], strict=True)) == {
        "mptrec": 1.0,
        "shared_bottom": 2.0,
        "single": 3.0,
    }
    assert "Over 2 tasks" in table.note
    assert "with so few tasks" in table.note.lower()


def test_the_report_is_files_of_every_format(report):
    directory, by_title = report
    for table in by_title.values():
        name = re.sub(r"[^a-z0-9]+", "_", table.title.lower()).strip("_")[:80]
        text = (directory / "tables" / f"{name}.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert len(rows) == len(table.numbers)
        assert table.title in (directory / "tables" / f"{name}.md").read_text()
    drawn = {path.stem for path in (directory / "figures").glob("*.png")}
    assert drawn == {path.stem for path in (directory / "figures").glob("*.svg")}
    assert drawn == {
        *("ablations", "weights_of_tasks", "representations", "sensitivity", "prompts"),
        *("gates_and_environments", "training_curves", "labels", "ranks"),
    }


def test_the_page_needs_no_other_file_and_tells_failures(report):
    directory, _ = report
    page = (directory / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 9
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "no memory | left" in page
    assert "<b>0." in page
    assert "**" not in re.sub(r"base64,[^\"]*", "", page)
    text = (directory / "report.md").read_text()
    assert "## Failed cells" in text
    assert r"no memory \| left" in text
    assert "commit aaaaaaaaaaaa;" in text


def test_wins_ties_and_losses(results):
    [summary, by_task] = rank_tables.make_duel_tables(results)
    wins = summary.numbers.set_index("against")
    assert wins.loc["single, alone", "wins"] == 1
    assert wins.loc["shared_bottom, then auto", "ties"] == 1
    assert "mptrec, then auto" not in wins.index
    assert "win" in by_task.shown["single, alone"].item()
    assert rank_tables.judge(-0.1, 0.01) == "loss"
    assert rank_tables.judge(-0.1, 0.2) == "tie"
    assert rank_tables.judge(float("nan"), float("nan")) == ""
    assert unseen.UNSEEN.make_figures(results)["differences"](results) is not None


def test_without_results(place, tmp_path):
    with pytest.raises(InputError, match=r"holds no results \(results.jsonl is missing\)"):
        Results(str(tmp_path), GRID)
    (tmp_path / "results.jsonl").write_text('{"key": ')
    with pytest.raises(InputError, match=r"results.jsonl is damaged"):
        Results(str(tmp_path), GRID)


def test_few_results_are_a_short_report(place, tmp_path):
    other = open_place(str(tmp_path / "out"), RowSource("synthetic"), GRID)
    lines = (Path(place.directory) / "results.jsonl").read_text().splitlines()
    kept = [x for x in lines if json.loads(x)["cell"]["kind"] == "prepare"]
    (tmp_path / "out" / "results.jsonl").write_text("\n".join(kept) + "\n")
    written = render(Results(other.directory, GRID), paper.PAPER, str(tmp_path / "report"))
    assert written == []
    assert (tmp_path / "report" / "report.html").exists()


def test_a_new_task_whose_rows_could_not_be_prepared(place, tmp_path):
    other = open_place(str(tmp_path / "out"), RowSource("synthetic"), GRID)
    kept = Prepare(paper.KEPT, OLD)
    kinds = {t: BinaryTask(t, t, ("1",)).to_plain() for t in OLD}
    data = {"name": "synthetic", "splits": {"train": {"rows": 9, "tasks": {}}}}
    meta = {"machine": {"processor": "P", "cores": 2}, "threads": 1, "commit": "a" * 40}
    other.write(kept, {"data": data, "features": 9, "tasks": kinds, **meta})
    other.write_failure(DATA, "no train row has a label for task 'share'")
    two = Train(kept, OLD, "mptrec", 1, "two_tasks")
    np.savez(other.arrays(kept), **{f"label/{t}": np.float32([0, 1]) for t in OLD})
    np.savez(other.arrays(two), **{f"prediction/{t}": np.float32([0.1, 0.9]) for t in OLD})
    scores = dict.fromkeys(OLD, 1.0)
    result = {"scores": {"test": scores, "validation": scores}, "data": data, "history": [], **meta}
    other.write(two, {**result, "epochs": 2, "seconds": 3.0, "flops": 1.5e9})
    other.write_failure(Train(DATA, (NEW,), "single", 1, "alone"), "it needs what failed")
    other.collect()
    tables = render(Results(other.directory, GRID), paper.PAPER, str(tmp_path / "report"))
    assert [t.title for t in tables] == [f"Models of click, like; {paper.KEPT}"]
    text = (tmp_path / "report" / "report.md").read_text()
    assert "no train row has a label for task 'share'" in text
