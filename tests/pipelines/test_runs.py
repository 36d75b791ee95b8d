"""Complete runs of both pipelines on a few rows; no failure changes production."""

import csv
import itertools
import re

import numpy as np
import pytest

from components import model_artifact
from components.example_gen.source import SourceConfig
from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sets.synthetic.rows import make_spec
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import list_versions
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate, same_predictions
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from pipelines import production as production_model
from pipelines.config import ADD_TASK, PRETRAIN
from pipelines.metadata import Metadata
from pipelines.results import compute_trained_share

# Of a backbone that two tests need: the second one finds its training in the cache.
UNTRAINED = {"epochs": 1, "learning_rate": 1e-9}


@pytest.fixture
def source(rows):
    return open_source("synthetic", rows=rows)


def write_user_files(source, folder, change):
    """Writes rows as a user's own CSV files with changed columns; returns the data set."""
    for split in SPLITS:
        [block] = [*read_split(source, split)][:1]
        columns = change(dict(block.columns))
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    files = {split: str(folder / f"{split}.csv") for split in SPLITS}
    return SourceConfig(spec=make_spec(), files=files)


def test_every_run_pushes_a_version_that_preserves_the_other_tasks_bit_for_bit(three_runs, source):
    assert list_versions(three_runs.config.serving_dir) == [1, 2, 3]
    models = [LoadedModel(f"{three_runs.config.serving_dir}/{version}") for version in (1, 2, 3)]
    assert [model.spec.task_names for model in models] == [
        ("click", "like"),
        ("click", "like", "share"),
        ("click", "like", "share", "purchase"),
    ]
    for before, after in itertools.pairwise(models):
        assert same_predictions(before, after, source, "test", before.spec.task_names)


def test_metrics_are_those_of_the_evaluation_program(three_runs, source):
    for version in (1, 3):
        expected = evaluate(
            LoadedModel(f"{three_runs.config.serving_dir}/{version}"), source, "test"
        )
        actual = three_runs.results[version - 1].load_metrics("candidate")
        assert actual.keys() == expected.keys()
        for task, metrics in actual.items():
            assert metrics["auc"] == pytest.approx(expected[task]["auc"], abs=1e-9)
            assert metrics["calibration"] == pytest.approx(expected[task]["calibration"], rel=1e-5)
            assert metrics["example_count"] == expected[task]["rows"]


def test_the_program_adds_a_task_and_predicts_with_it(three_runs):
    version = f"{three_runs.config.serving_dir}/3"
    for text in (
        "click, like, share: the predictions of",
        "mptrec-add-task: test rows",
        "What was trained",
        f"{version} on the test rows",
        "Predictions of ",
        f"in production: {version} ",
    ):
        assert text in three_runs.program


def test_an_unchanged_run_is_cached_and_pushes_nothing(
    three_runs, read_last_states, change, production, capsys
):
    three_runs.add_task("purchase")  # compares the candidate with itself, as it is in production
    assert list_versions(production) == [1, 2, 3]
    again = change(three_runs)
    again.add_task("purchase")
    states = read_last_states(three_runs, ADD_TASK)
    assert len(states) == 13
    assert set(states.values()) == {"cached"}
    again.print_tables()
    assert "9 of 13 were cached" in capsys.readouterr().out  # the other four are imported


def test_a_pre_training_threshold_that_is_not_met(three_runs, change, production):
    pipelines = change(three_runs, training=three_runs.pretraining, least={"like": 0.99})
    message = r"mptrec-pretrain pushed nothing: task 'like' has AUC 0\.\d{4}, below its threshold"
    with pytest.raises(InputError, match=message):
        pipelines.pretrain(("click", "like"))


def test_a_new_backbone_that_is_worse_than_production_is_not_pushed(
    three_runs, change, read_last_states, production, capsys
):
    tasks = ("click", "like")
    pipelines = change(three_runs, training=UNTRAINED, least=dict.fromkeys(tasks, 0.0), margin=0.01)
    now = three_runs.results[2].load_metrics("candidate")
    least = min(now[task]["auc"] for task in tasks) - 0.01
    assert least > 0.51  # or nothing could be worse
    with pytest.raises(InputError, match="mptrec-pretrain pushed nothing: task ") as error:
        pipelines.pretrain(tasks, may_drop_tasks=True)
    for task in tasks:
        assert re.search(
            rf"task '{task}' is worse than in production: AUC 0\.\d{{4}} after "
            rf"{now[task]['auc']:.4f}, a difference of -0\.\d{{4}} ± 0\.\d{{4}}, beyond the margin "
            r"of 0\.01 with a confidence of 0\.95",
            str(error.value),
        )
    assert "--accept=click,like" in str(error.value)
    states = read_last_states(pipelines, PRETRAIN)
    assert states["ProductionModel"] in ("complete", "cached")  # as an earlier test left it
    assert states["Pusher"] == "complete"
    pipelines.print_tables()
    printed = capsys.readouterr().out
    assert "mptrec-pretrain: compared with production" in printed
    assert "AUC within users" in printed
    assert "mptrec-pretrain: not compared with production" in printed
    assert printed.count("the new backbone does not predict it") == 2  # share and purchase


def test_a_threshold_that_is_not_met(three_runs, change, production, capsys):
    message = (
        r"mptrec-add-task pushed nothing: task 'purchase' has AUC (0\.\d{4}), below its threshold "
        r"0\.9900 by 0\.\d{4}"
    )
    pipelines = change(three_runs, least={"purchase": 0.99})
    with pytest.raises(InputError, match=message):
        pipelines.add_task("purchase")
    pipelines.print_tables()
    row = next(line for line in capsys.readouterr().out.splitlines() if "│ purchase" in line)
    assert "0.9900" in row


def test_a_backbone_that_was_changed_by_one_bit(three_runs, change, production, monkeypatch):
    write = model_artifact.write

    def write_and_flip(uri, *args, **kwargs):
        write(uri, *args, **kwargs)
        path = f"{model_artifact.backbone_directory(uri)}/weights.npz"
        weights = load_arrays(path)
        weights[sorted(weights)[0]].view(np.int32).flat[0] ^= 1
        save_arrays(path, weights)

    monkeypatch.setattr(model_artifact, "write", write_and_flip)
    pipelines = change(three_runs, training={"epochs": 1})
    fingerprint = model_artifact.load(
        three_runs.results[2].artifact("PromptTuner", "model").uri
    ).backbone.fingerprint
    message = f"pushed nothing: .*its fingerprint is [0-9a-f]{{64}}, it should be {fingerprint}"
    with pytest.raises(InputError, match=message):
        pipelines.add_task("purchase")


def test_statistics_do_not_count_as_trained(three_runs):
    uri = three_runs.results[2].artifact("PromptTuner", "model").uri
    backbone = model_artifact.load(uri).backbone.model
    pretrained, *_ = compute_trained_share(uri)
    backbone.trainable = True
    trained = sum(int(np.prod(weight.shape)) for weight in backbone.trainable_weights)
    assert pretrained["trained_parameters"] == trained
    assert len(backbone.weights) > len(backbone.trainable_weights)


def test_data_that_drifted(three_runs, change, production, source, tmp_path):
    def raise_prices(columns):
        return columns | {"item_price": columns["item_price"] * 20}

    pipelines = change(three_runs, source=write_user_files(source, tmp_path, raise_prices))
    message = (
        r"mptrec-add-task stopped at DataGate: .*feature 'item_price' drifted by 0\.\d{3} from the "
        r"backbone's training data, more than 0\.1; pre-train a backbone on newer data"
    )
    with pytest.raises(InputError, match=message) as error:
        pipelines.add_task("purchase")
    assert str(error.value).count("drifted") == 1


def test_a_new_task_with_one_class(three_runs, change, production, source, tmp_path):
    def nobody_buys(columns):
        return columns | {"purchase": np.zeros_like(columns["purchase"])}

    pipelines = change(three_runs, source=write_user_files(source, tmp_path, nobody_buys))
    message = "stopped at DataGate: .*task 'purchase' has one class only in the train split: every"
    with pytest.raises(InputError, match=message):
        pipelines.add_task("purchase")


def test_an_unknown_base_model(three_runs, production, tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} holds no model of these pipelines"):
        three_runs.add_task("purchase", str(tmp_path))


def test_a_base_model_is_joined_and_production_still_compared_with(three_runs, tmp_path):
    first, share, purchase = (
        results.artifact(node, "model").uri
        for results, node in zip(
            three_runs.results, ("Pretrainer", "PromptTuner", "PromptTuner"), strict=True
        )
    )
    served, metadata = three_runs.config.serving_dir, three_runs.config.metadata_path
    now = production_model.find(served, "purchase", metadata)
    assert (now.base_model, now.model) == (share, purchase)  # the last one added: replaced
    named = production_model.find(served, "purchase", metadata, first)
    assert (named.base_model, named.model) == (first, purchase)
    assert (named.schema, named.statistics) == (now.schema, now.statistics)
    empty = production_model.find(str(tmp_path), "purchase", metadata, first)
    assert (empty.base_model, empty.model, empty.tasks) == (first, first, ("click", "like"))


def test_a_task_joins_a_named_model_where_nothing_is_served(
    three_runs, change, production, tmp_path
):
    first = three_runs.results[0].artifact("Pretrainer", "model").uri
    pipelines = change(three_runs, serving_dir=str(tmp_path / "models"))
    pipelines.add_task("share", first)
    assert LoadedModel(f"{tmp_path}/models/1").spec.task_names == ("click", "like", "share")


def test_a_task_that_was_pre_trained(three_runs, production):
    with pytest.raises(InputError, match="task 'click' was pre-trained with the backbone"):
        three_runs.add_task("click")


def test_a_new_backbone_does_not_drop_tasks_from_production_nor_is_joined(
    three_runs, change, production
):
    message = "pushed nothing: the new model lacks purchase, share, which version 3 in production"
    tasks = ("click", "like")
    never = {"margin": 1.0, "calibration_margin": 9.0}
    pipelines = change(three_runs, training=UNTRAINED, least=dict.fromkeys(tasks, 0.0), **never)
    with pytest.raises(InputError, match=message):
        pipelines.pretrain(tasks)
    metadata = Metadata(pipelines.config.metadata_path)
    [other] = metadata.read_outputs(metadata.read_last_run(PRETRAIN)["Pretrainer"])["model"]
    with pytest.raises(InputError, match="a task joins the backbone in production"):
        production_model.find(production, "share", pipelines.config.metadata_path, other.uri)


def test_nothing_in_production(make_pipelines, tmp_path):
    with pytest.raises(InputError, match="holds no version, so there is no model to add a task to"):
        make_pipelines(tmp_path / "root").add_task("purchase")


def test_a_killed_pipeline_continues_where_it_was(three_runs):
    killed, continued, epochs, left = three_runs.killed
    assert killed["Pretrainer"] == "running"
    before = set(killed) - {"Pretrainer"}
    assert {killed[node] for node in before} == {"complete"}
    assert 1 <= epochs < 30
    assert {node for node, state in continued.items() if state == "cached"} == before
    uri = three_runs.results[0].artifact("Pretrainer", "model").uri
    assert len(model_artifact.load(uri).backbone.training["history"]) == 30
    assert not left
