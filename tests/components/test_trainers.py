import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import standard_artifacts

from components import model_artifact
from components.data_gate.config import GateConfig
from components.prompt_tuner.config import PromptTunerConfig
from mptrec_tf.data.raw_examples import RawExamples
from mptrec_tf.errors import InputError
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.storage.arrays import load_arrays
from mptrec_tf.storage.plain import from_plain, to_plain
from mptrec_tf.training import new_task
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.callbacks import SaveProgress
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig


class KilledError(Exception):
    """Stands for a signal that ends the process."""


def load_backbone_weights(model):
    return load_arrays(f"{model.uri}/Backbone/weights.npz")


def load_head_weights(model, task):
    return load_arrays(f"{model.uri}/Tasks/{task}/weights.npz")


def has_logs(run):
    """Whether there is something for TensorBoard."""
    return any(name.startswith("events") for _, _, names in os.walk(run.uri) for name in names)


def assert_same(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        np.testing.assert_array_equal(value, others[name], err_msg=name)


def reverse_rows(examples, folder, copy_artifact):
    """The same rows, last one first, in two files where one was."""
    other = copy_artifact(examples, folder)
    for split in ("train", "validation"):
        [file] = (folder / f"Split-{split}").iterdir()
        rows = [row.numpy() for row in tf.data.TFRecordDataset(str(file), "GZIP")][::-1]
        file.unlink()
        for part, some in enumerate((rows[:77], rows[77:])):
            with tf.io.TFRecordWriter(f"{file.parent}/part-{part}.gz", "GZIP") as writer:
                for row in some:
                    writer.write(row)
    return other


def test_the_pretrainer_writes_a_complete_model(pretrained, model, examples, artifacts):
    assert sorted(os.listdir(model.uri)) == ["Backbone", "Expected", "Format-Serving", "model.json"]
    loaded = model_artifact.load(model.uri)
    assert loaded.tasks == loaded.backbone.shape.tasks == ("click", "like")
    assert (loaded.added, loaded.base, loaded.packages) == (None, None, ())
    assert loaded.backbone.shape.expert_units == (12, 8)
    training = loaded.backbone.training
    assert training["data"]["splits"]["train"]["rows"] == 1200
    assert training["training"]["seed"] == 4
    assert training["losses"]["assignment"] == MPTRecLosses().assignment
    assert len(training["history"]) == 2
    assert has_logs(pretrained["model_run"])
    assert os.listdir(artifacts / "unfinished") == []


def test_rows_stored_in_another_order_train_the_same_weights(
    tmp_path, pretrain, examples, model, copy_artifact
):
    other = reverse_rows(examples, tmp_path / "examples", copy_artifact)
    again = pretrain(tmp_path / "pretrainer", other)["model"]
    assert_same(load_backbone_weights(again), load_backbone_weights(model))
    first, second = (model_artifact.load(m.uri).backbone.fingerprint for m in (model, again))
    assert first == second


def test_replicas_of_one_machine_train_the_same_weights(tmp_path, pretrain, examples, model):
    again = pretrain(tmp_path / "pretrainer", examples, strategy="mirrored")["model"]
    assert_same(load_backbone_weights(again), load_backbone_weights(model))
    assert os.listdir(tmp_path / "unfinished") == []


@pytest.mark.parametrize("strategy", ["multi_worker", "parameter_server"])
def test_a_strategy_of_several_processes_in_one(
    tmp_path, monkeypatch, pretrain, examples, strategy
):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match=f"--strategy={strategy} needs .* TF_CONFIG, which names"):
        pretrain(tmp_path / "pretrainer", examples, strategy)


def test_a_tuned_model_keeps_its_base_model(model, grown):
    loaded = model_artifact.load(grown.uri)
    assert loaded.tasks == ("click", "like", "share")
    assert (loaded.added, loaded.base) == ("share", model.uri)
    assert_same(load_backbone_weights(grown), load_backbone_weights(model))
    [package] = loaded.packages
    assert (package.task.name, package.head.config.tower_units) == ("share", (4,))
    assert package.training["training"]["seed"] == 5


def test_another_task_leaves_the_added_one_alone(grown, both):
    loaded = model_artifact.load(both.uri)
    assert loaded.tasks == ("click", "like", "purchase", "share")
    assert (loaded.added, loaded.base) == ("purchase", grown.uri)
    assert_same(load_backbone_weights(both), load_backbone_weights(grown))
    assert_same(load_head_weights(both, "share"), load_head_weights(grown, "share"))


def test_a_task_that_was_added_is_replaced(tmp_path, tune, examples, both):
    new = tune(tmp_path / "prompt_tuner", examples, both, "share", seed=6)["model"]
    loaded = model_artifact.load(new.uri)
    assert sorted(loaded.tasks) == ["click", "like", "purchase", "share"]
    assert_same(load_head_weights(new, "purchase"), load_head_weights(both, "purchase"))
    old, other = load_head_weights(both, "share"), load_head_weights(new, "share")
    assert old.keys() == other.keys()
    assert any(not np.array_equal(old[name], other[name]) for name in old)
    [package] = [p for p in loaded.packages if p.task.name == "share"]
    assert package.training["training"]["seed"] == 6


def test_a_training_that_ended_early_continues_in_the_next_run(
    tmp_path, monkeypatch, tune, examples, grown, both
):
    """Purchase is tuned as `both` was, but saving epoch 2 fails, and then writing the model."""
    save, write, saved = SaveProgress.on_epoch_end, model_artifact.write, []

    def fails_at_epoch_2(self, epoch, logs=None):
        if epoch == 1:
            raise KilledError
        saved.append(epoch)
        save(self, epoch, logs)

    monkeypatch.setattr(SaveProgress, "on_epoch_end", fails_at_epoch_2)
    with pytest.raises(KilledError):
        tune(tmp_path / "first", examples, grown, "purchase")
    [unfinished] = (tmp_path / "unfinished").iterdir()
    assert len(json.loads((unfinished / "state.json").read_text())["history"]) == 1

    def counted(self, epoch, logs=None):
        saved.append(epoch)
        save(self, epoch, logs)

    def fails(*_, **__):
        raise KilledError

    monkeypatch.setattr(SaveProgress, "on_epoch_end", counted)
    monkeypatch.setattr(model_artifact, "write", fails)
    with pytest.raises(KilledError):
        tune(tmp_path / "second", examples, grown, "purchase")
    assert saved == [0, 1]
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == [unfinished.name]

    monkeypatch.setattr(model_artifact, "write", write)
    outputs = tune(tmp_path / "third", examples, grown, "purchase")
    assert saved == [0, 1]
    assert not list((tmp_path / "unfinished").iterdir())
    assert_same(
        load_head_weights(outputs["model"], "purchase"), load_head_weights(both, "purchase")
    )
    expected = model_artifact.load(both.uri).packages[0].training
    actual = model_artifact.load(outputs["model"].uri).packages[0].training
    assert expected["best_epoch"] == 1  # what was trained after the failure is what counts
    assert actual["history"] == expected["history"]
    assert has_logs(outputs["model_run"])


def test_the_state_is_stored_by_what_is_trained(tmp_path, monkeypatch, tune, examples, model):
    """Another seed is another training: neither finds the other's state."""
    directories = []

    def fails(backbone, data, task, config, context, **_):
        directories.append(context.directory)
        raise KilledError

    monkeypatch.setattr(new_task, "learn", fails)  # TFX loads the run_fn again
    for number, seed in enumerate((1, 2, 1)):
        with pytest.raises(KilledError):
            tune(tmp_path / f"run-{number}", examples, model, "share", seed=seed)
    assert directories[0] == directories[2] != directories[1]


def change_description(examples, folder, copy_artifact, change):
    other = copy_artifact(examples, folder)
    path = folder / "examples.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    return other


def test_examples_with_other_features_are_rejected(tmp_path, tune, examples, model, copy_artifact):
    other = change_description(
        examples, tmp_path / "x", copy_artifact, lambda d: d["spec"]["numeric"].pop()
    )
    with pytest.raises(
        InputError, match=r"the new task's data has other features than .*only the second has item"
    ):
        tune(tmp_path / "tuner", other, model, "share")


def test_a_task_that_was_pretrained_cannot_be_added(tmp_path, tune, examples, model):
    with pytest.raises(
        InputError, match=r"task 'like' was pre-trained with backbone .*; a new task"
    ):
        tune(tmp_path / "tuner", examples, model, "like")


def test_an_unknown_task_is_rejected(tmp_path, tune, pretrain, examples, model):
    with pytest.raises(InputError, match="unknown task 'sell': data set 'synthetic' has click"):
        tune(tmp_path / "tuner", examples, model, "sell")
    with pytest.raises(InputError, match="unknown task 'sell': data set 'synthetic' has click"):
        pretrain(tmp_path / "pretrainer", examples, tasks=("click", "sell"))


def test_a_task_with_one_class_is_rejected(
    tmp_path, tune, pretrain, examples, model, copy_artifact
):
    def all_negative(description):
        for task in ("click", "share"):
            description["splits"]["validation"]["tasks"][task]["positives"] = 0

    other = change_description(examples, tmp_path / "x", copy_artifact, all_negative)
    with pytest.raises(InputError, match="'share' has one class only in the validation split"):
        tune(tmp_path / "tuner", other, model, "share")
    with pytest.raises(InputError, match="'click' has one class only in the validation split"):
        pretrain(tmp_path / "pretrainer", other)


def test_something_else_than_a_base_model_is_rejected(
    tmp_path, tune, examples, model, copy_artifact
):
    nothing = standard_artifacts.Model()
    nothing.uri = str(tmp_path / "nothing")
    with pytest.raises(
        InputError, match=r"nothing holds no model of these pipelines \(model\.json"
    ):
        tune(tmp_path / "a", examples, nothing, "share")
    changed = copy_artifact(model, tmp_path / "changed")
    weights = tmp_path / "changed" / "Backbone" / "weights.npz"
    arrays = load_arrays(str(weights))
    name = sorted(arrays)[0]
    np.savez(weights, **arrays | {name: arrays[name] + 1})
    with pytest.raises(InputError, match="changed since it was written: its fingerprint is"):
        tune(tmp_path / "b", examples, changed, "share")


def test_missing_rows_are_rejected(tmp_path, tune, examples, model, copy_artifact):
    other = change_description(
        examples,
        tmp_path / "x",
        copy_artifact,
        lambda d: d["splits"]["train"].update(rows=1201),
    )
    with pytest.raises(InputError, match="holds 1200 train rows where 1201 were prepared"):
        tune(tmp_path / "tuner", other, model, "share")
    shutil.rmtree(tmp_path / "x" / "Split-train")
    with pytest.raises(InputError, match="holds no train examples; make them again"):
        tune(tmp_path / "again", other, model, "share")


def test_configurations_go_through_json():
    pretrainer = PretrainingConfig(
        ("a", "b"),
        "mptrec",
        {"expert_units": (3, 2), "l2_dense": 0.5},
        {"assignment": "online"},
        TrainingConfig(epochs=3),
    )
    plain = json.loads(json.dumps(to_plain(pretrainer)))
    assert from_plain(PretrainingConfig, plain) == pretrainer
    tuner = PromptTunerConfig("a", NewTaskConfig("fixed", {"tower_units": (3, 2)}, {"seed": 7}))
    plain = json.loads(json.dumps(to_plain(tuner)))
    assert from_plain(PromptTunerConfig, plain) == tuner
    gate = GateConfig(max_unseen_share=0.5, max_drift_of={"price": 0.2})
    assert GateConfig.from_json(gate.to_json()) == gate


def test_a_schema_of_scalars_packs_the_same_values(
    tmp_path, run_transform, examples, schema, synthetic, transform_graph, copy_artifact
):
    scalars = copy_artifact(schema, tmp_path / "schema")
    path = tmp_path / "schema" / "schema.pbtxt"
    shape = "  shape {\n    dim {\n      size: 1\n    }\n  }\n"
    text = path.read_text()
    assert text.count(shape) == len(text.split("feature {")) - 1
    path.write_text(text.replace(shape, "  shape {\n  }\n"))
    graph = run_transform(tmp_path / "transform", examples, scalars, synthetic.make_spec())
    mine, theirs = (
        load_rows(RawExamples(examples.uri, g.uri), "train", ("click",)).columns
        for g in (transform_graph, graph)
    )
    assert mine["categorical"].shape == (1200, 7)
    assert mine["numeric"].shape == (1200, 3)
    assert mine.keys() == theirs.keys()
    for name, column in mine.items():
        np.testing.assert_array_equal(column, theirs[name], err_msg=name)


def test_a_schema_that_allows_any_number_of_values_is_rejected(
    tmp_path, run_transform, examples, schema, synthetic, copy_artifact
):
    loose = copy_artifact(schema, tmp_path / "schema")
    path = tmp_path / "schema" / "schema.pbtxt"
    path.write_text(path.read_text().replace("shape {\n    dim {\n      size: 1\n    }\n  }", ""))
    with pytest.raises(
        InputError, match=r"feature 'user_id' may have any number of values in the schema"
    ):
        run_transform(tmp_path / "transform", examples, loose, synthetic.make_spec())
