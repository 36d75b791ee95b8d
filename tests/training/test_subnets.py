"""The subnets of Sparse-Sharing: found, kept, and found again by a run that continues."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.widths import group_by_width
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.sparse_sharing import SparseSharing
from mptrec_tf.training import loop, subnets
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext

TASKS = ("click", "like")
SHAPE = {"expert_units": (12, 8), "tower_units": (4,)}


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


def make_config(**losses):
    losses = {"prune_rounds": 3, "prune_share": 0.3} | losses
    training = TrainingConfig(epochs=2, batch_size=128, learning_rate=5e-3)
    return PretrainingConfig(TASKS, "sparse_sharing", SHAPE, losses, training)


class KilledError(Exception):
    """Stands in for the end of a process."""


@pytest.fixture(scope="module")
def killed_and_whole(data, tmp_path_factory):
    """The run that was killed in its second round and continued, and one that was not."""
    folder = tmp_path_factory.mktemp("subnets")
    run, started = loop.run, []

    def die(job, config, context):
        started.append(job.settings.get("subnets"))
        if started == [0, 1]:
            raise KilledError
        return run(job, config, context)

    context = RunContext(str(folder / "killed"), show_progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "run", die)
        with pytest.raises(KilledError):
            pretrain(data, make_config(), context)
        continued, _ = pretrain(data, make_config(), context)
    whole, result = pretrain(
        data, make_config(), RunContext(str(folder / "whole"), show_progress=False)
    )
    assert started == [0, 1, 0, 1, 2, None]
    return continued, whole, result


def test_a_killed_search_ends_with_the_same_bits(killed_and_whole):
    continued, whole, _ = killed_and_whole
    for name, weight in whole.named_weights().items():
        np.testing.assert_array_equal(continued.named_weights()[name], weight, err_msg=name)


def test_the_subnets_are_of_the_sizes_that_rounds_leave(killed_and_whole):
    _, model, result = killed_and_whole
    masks = [mask.numpy() for mask in model.experts.masks]
    total = sum(mask[0].size for mask in masks)
    sizes = [total]
    for _ in range(2):
        sizes.append(sizes[-1] - int(0.3 * sizes[-1]))
    for k, task in enumerate(TASKS):
        left = sum(mask[k].sum() for mask in masks)
        assert left in sizes
        assert all(set(np.unique(mask[k])) <= {0.0, 1.0} for mask in masks)
        assert result.history[-1][f"subnet/{task}"] == pytest.approx(left / total, rel=1e-6)


def test_the_masks_are_kept_with_the_model(killed_and_whole, data, tmp_path):
    _, model, _ = killed_and_whole
    mask = model.experts.masks[0].numpy()
    mask[0, 0] = 0
    model.experts.masks[0].assign(mask)
    save_backbone(str(tmp_path), model, data.spec, data.transform_dir, {"seed": 4})
    stored = load_backbone(str(tmp_path)).model
    np.testing.assert_array_equal(stored.experts.masks[0], mask)


def test_each_tasks_best_round_is_kept():
    masks = [[np.full((2, 1, 1), r), np.full((2, 2, 1), 10 * r)] for r in range(3)]
    first, second = subnets.choose_masks([[0.7, 0.8], [0.9, 0.8], [0.8, 0.7]], masks)
    np.testing.assert_array_equal(first.ravel(), [1, 1])  # of equal ones the smaller
    np.testing.assert_array_equal(second[:, 0, 0], [10, 10])
    first, _ = subnets.choose_masks([[0.7, 0.9], [0.8, 0.8], [0.9, 0.7]], masks)
    np.testing.assert_array_equal(first.ravel(), [2, 0])


def test_copies_begin_alike_and_compute_what_the_shared_network_does(data):
    shape = make_config().make_shape(data)
    model = SparseSharing(shape)
    values = {name: weight.numpy() for name, weight in model.named_weights().items()}
    values["experts/mask_0"][1, :5] = 0
    model.experts.masks[0].assign(values["experts/mask_0"])
    copies = subnets._make_copies(shape, values)
    rng = np.random.default_rng(0)
    rows = {
        "categorical": rng.integers(0, shape.inputs[0].rows, (6, shape.inputs[0].columns)),
        "numeric": rng.random((6, shape.inputs[1].columns)).astype(np.float32),
    }
    np.testing.assert_allclose(copies(rows), model(rows), rtol=1e-5, atol=1e-6)
    assert (model(rows).numpy() != SparseSharing(shape)(rows).numpy()).any()


def test_copies_of_features_with_widths_of_their_own():
    tables = group_by_width([None, 6], [(0, 0, 3), (1, 3, 5)])
    inputs = (InputShape("categorical", 2, rows=8, tables=tables),)
    shape = ModelShape(TASKS, inputs, **SHAPE)
    one = SparseSharing(shape)
    values = {name: weight.numpy() for name, weight in one.named_weights().items()}
    copies = subnets._make_copies(shape, values)
    ids = {"categorical": tf.constant([[0, 3], [2, 7], [1, 5]], tf.int64)}
    np.testing.assert_allclose(copies(ids), one(ids), rtol=1e-5)
