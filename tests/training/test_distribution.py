"""Batches are cut into replicas' parts, and what needs a whole batch is rejected."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.layers.replicas import count_replicas, sum_over_replicas
from mptrec_tf.models.trainer import mean_over_batch
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.distribution import (
    ONE_PROCESS,
    Distribution,
    _take_part,
    start_distribution,
)
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext


class TwoReplicas(Distribution):
    replicas = 2


@pytest.mark.parametrize("rows", [7, 2, 1])
def test_parts_have_every_row_once(rows):
    batch = {
        "age": tf.range(rows),
        "tags": tf.ragged.range(range(1, rows + 1)),  # [0], [0, 1], ...
    }
    parts = [_take_part(batch, tf.constant(i, tf.int64), 3) for i in range(3)]
    sizes = [len(part["age"]) for part in parts]
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(np.concatenate([p["age"] for p in parts]), batch["age"])
    assert tf.concat([p["tags"] for p in parts], axis=0).to_list() == batch["tags"].to_list()


def test_one_process_is_as_it_was():
    assert start_distribution(None) is ONE_PROCESS
    assert (ONE_PROCESS.replicas, ONE_PROCESS.is_chief) == (1, True)
    assert ONE_PROCESS.distribute(lambda: "batches") == "batches"
    assert count_replicas() == 1
    assert sum_over_replicas(3.0) == 3.0
    values, weight = tf.constant([1.0, 4.0]), tf.constant([3.0, 1.0])
    assert float(mean_over_batch(values, weight)) == 1.75


def test_one_replica_of_a_strategy_trains_the_same_bits(prepared_synthetic, tmp_path):
    shape = {"expert_units": (6, 4), "tower_units": (3,)}
    training = TrainingConfig(epochs=1)
    config = PretrainingConfig(("click", "like"), shape=shape, training=training)
    data, weights = PreparedData(str(prepared_synthetic)), []
    for name in (None, "mirrored"):
        context = RunContext(
            f"{tmp_path}/{name}", show_progress=False, distribution=start_distribution(name)
        )
        model, _ = pretrain(data, config, context)
        weights.append({k: w.numpy() for k, w in model.named_weights().items()})
    for name, weight in weights[0].items():
        np.testing.assert_array_equal(weight, weights[1][name], err_msg=name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "csrec"}, "model 'csrec' searches for its parts .* train it without --strategy"),
        (
            {"losses": {"loss_weights": "pcgrad"}},
            "gradients are compared with each other, so that a step needs a whole batch",
        ),
    ],
)
def test_what_needs_whole_batches(prepared_synthetic, tmp_path, fields, message):
    context = RunContext(str(tmp_path / "run"), distribution=TwoReplicas())
    data = PreparedData(str(prepared_synthetic))
    with pytest.raises(InputError, match=message):
        pretrain(data, PretrainingConfig(("click", "like"), **fields), context)
    assert not (tmp_path / "run").exists()
