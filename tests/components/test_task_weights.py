"""Weights of single tasks, and rows that are left out, in the pipelines' components."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluation.component import Evaluator
from components.evaluation.config import EvaluatorConfig
from components.evaluation.thresholds import Thresholds
from components.example_gen.component import RawExampleGen, open_newest
from components.example_gen.source import SourceConfig
from components.model_artifact import serving_directory
from mptrec_tf.data.prepare import make_record_batch
from mptrec_tf.data.raw_examples import (
    RawExamples,
    read_description,
    read_serialized_examples,
    weight_column,
)
from mptrec_tf.data.sampling import find_left_out
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate

ROWS = {"train": 600, "validation": 50, "test": 300}


@pytest.fixture(scope="module")
def weighted(tmp_path_factory):
    """Synthetic rows with weights; a fifth of the rows without a share is kept for training."""
    folder = tmp_path_factory.mktemp("weighted")
    source = Synthetic(ROWS)
    for split in SPLITS:
        [block] = read_split(source, split)
        random = np.random.default_rng(len(split))
        columns = {name: block.text(name) for name in block.columns}
        columns["w"] = random.integers(0, 3, len(block))
        columns["w_like"] = random.random(len(block)).round(3)
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    changes = {"like": {"weight": "w_like"}, "share": {"sample_negatives": 0.2}}
    tasks = (dataclasses.replace(t, **changes.get(t.name, {})) for t in source.spec.tasks)
    spec = dataclasses.replace(source.spec, tasks=tuple(tasks), weight="w")
    return SourceConfig(spec=spec, files={split: f"{folder}/{split}.csv" for split in SPLITS})


@pytest.fixture(scope="module")
def weighted_examples(weighted, run_executor, tmp_path_factory):
    return run_executor(RawExampleGen(weighted), tmp_path_factory.mktemp("gen"))["examples"]


def test_the_pipelines_keep_the_rows_that_the_programs_keep(
    weighted, weighted_examples, read_column
):
    spec = weighted.make_spec()
    [block] = read_split(open_newest(weighted), "train")
    out = find_left_out(spec, block, make_record_batch(spec, block))
    described = read_description(weighted_examples.uri)
    train = described["splits"]["train"]
    assert train["rows"] == 600 - out.sum()
    assert train["tasks"]["share"]["left_out"] == out.sum() > 300
    assert described["splits"]["test"]["rows"] == 300
    kept = block.rows(~out)
    expected = {"like": kept.numbers("w") * kept.numbers("w_like"), "click": kept.numbers("w")}
    for task, weights in expected.items():
        weights = weights * np.where(kept.numbers("share") == 0, 5, 1)
        np.testing.assert_allclose(
            np.sort(read_column(weighted_examples.uri, weight_column(spec, task))),
            np.sort(weights),
            rtol=1e-6,
        )
    np.testing.assert_array_equal(
        np.sort(read_column(weighted_examples.uri, "weight/share")), np.sort(kept.numbers("w"))
    )


@pytest.fixture
def read_column():
    """Function that reads a column of the training examples."""

    def read(uri, column):
        [batch] = read_serialized_examples(uri, "train", 1000)
        examples = map(tf.train.Example.FromString, batch.numpy())
        return np.array([e.features.feature[column].float_list.value[0] for e in examples])

    return read


def test_they_are_read_for_training(weighted_examples, grown):
    data = RawExamples(weighted_examples.uri, f"{grown.uri}/Backbone/transform")
    [batch] = read_serialized_examples(weighted_examples.uri, "train", 1000)
    parsed = data.parse(batch)
    rows = data.splits["train"]["rows"]
    assert parsed["task_weights"].shape == (rows, 4)
    weight, share = parsed["weight"].numpy(), parsed["labels"].numpy()[:, 2]
    np.testing.assert_array_equal(parsed["task_weights"][:, 2], weight)
    np.testing.assert_allclose(parsed["task_weights"][:, 0], weight * np.where(share == 0, 5, 1))


def test_the_evaluator_weighs_by_task(weighted, weighted_examples, grown, run_component, tmp_path):
    tasks, spec = ["click", "like", "share"], weighted.make_spec()
    outputs = run_component(
        Evaluator,
        tmp_path,
        {"examples": weighted_examples, "model": grown},
        config=EvaluatorConfig(tuple(tasks), Thresholds(least_of_all=0.0)),
    )
    result = tfma.load_eval_result(outputs["evaluation"].uri)
    [model] = result.config.model_specs
    assert not model.example_weight_key
    assert dict(model.example_weight_keys) == {task: f"weight/{task}" for task in tasks}
    [(_, by_task)] = result.slicing_metrics
    loaded = LoadedModel(serving_directory(grown.uri))
    unweighted = evaluate(loaded, Synthetic(ROWS), "test", tasks)
    loaded.spec = dataclasses.replace(spec, tasks=spec.select_tasks(tasks))
    expected = evaluate(loaded, open_newest(weighted), "test", tasks)
    [block] = read_split(open_newest(weighted), "test")
    counts = {task: block.numbers("w") for task in tasks}
    counts["like"] = counts["like"] * block.numbers("w_like")
    for task in tasks:
        actual = {k: v["doubleValue"] for k, v in by_task[task][""].items()}
        assert actual["auc"] == pytest.approx(expected[task]["auc"], abs=1e-6)
        assert actual["auc"] != pytest.approx(unweighted[task]["auc"], abs=1e-4)
        assert actual["calibration"] == pytest.approx(expected[task]["calibration"], rel=1e-5)
        assert actual["example_count"] == pytest.approx(counts[task].sum(), rel=1e-5)


def test_a_feature_with_the_name_of_a_weight_is_rejected(weighted):
    from mptrec_tf.data.raw_examples import make_record_batch as make_raw_batch

    spec = weighted.make_spec()
    features = (*spec.features, dataclasses.replace(spec.numeric[0], name="weight/click"))
    spec = dataclasses.replace(spec, features=features)
    [block] = read_split(open_newest(weighted), "test")
    columns = {name: block.columns[name] for name in block.columns}
    block = dataclasses.replace(block, columns=columns | {"weight/click": columns["w"]})
    with pytest.raises(InputError, match="column 'weight/click' is named like the weight of a"):
        make_raw_batch(spec, block)
