"""The benchmark's cell of a new task's own network that begins with weights by MAML."""

import dataclasses
import shutil
import types

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import pytest

from mptrec_tf.benchmark import training_cells
from mptrec_tf.benchmark.cells import Prepare, Train
from mptrec_tf.benchmark.place import Place
from mptrec_tf.benchmark.sources import RowSource
from mptrec_tf.benchmark.training_cells import train_model
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

DATA = Prepare("rows", ("click", "like", "share"))
SMALL = {"expert_units": (6, 4), "tower_units": (3,)}


@pytest.fixture(scope="module")
def results(prepared_synthetic, tmp_path_factory, without_xla):
    """A network of its own, and one that begins with what the old tasks taught."""
    folder = tmp_path_factory.mktemp("meta")
    place = Place(str(folder), RowSource("synthetic"))
    for name in ("data", "work", "arrays"):
        (folder / name).mkdir()
    shutil.copytree(prepared_synthetic, place.data(DATA))
    fields = {"shape": SMALL, "training": {"epochs": 1}}
    plain = Train(DATA, ("share",), "single", 1, "alone", **fields)
    meta = Train(
        *(DATA, ("share",), "single", 1, "alone", "after MAML"),
        **fields,
        meta_tasks=("click", "like"),
    )
    with without_xla():
        return [train_model(cell, place) for cell in (plain, meta)]


def test_it_is_the_same_network_with_other_weights(results):
    plain, meta = results
    assert meta["parameters"] == plain["parameters"]
    assert meta["flops_per_step"] == plain["flops_per_step"]
    assert meta["scores"]["test"] != plain["scores"]["test"]


def test_what_comes_before_is_part_of_the_cost(results):
    plain, meta = results
    assert meta["steps"] == plain["steps"]  # of the new task's training
    # For each of two tasks: half a batch forth and back three times, and half of it for the query.
    before = meta["flops"] - plain["flops"]
    assert 2 * plain["flops"] < before < 8 * plain["flops"]
    assert meta["seconds"] > 0


def test_tasks_that_one_network_cannot_predict_are_left_out(monkeypatch):
    monkeypatch.setattr(training_cells, "load_rows", lambda data, split, names: names)
    click = BinaryTask("click", "clicks", above=0)
    tasks = (click, dataclasses.replace(click, name="buy", label="buys", given="click"))
    data = types.SimpleNamespace(spec=DatasetSpec("shop", (Categorical("item"),), tasks))

    def list_tasks(*names):
        cell = Train(DATA, ("share",), "single", 1, "alone", meta_tasks=names)
        meta = training_cells._make_meta_learning(cell, data)
        assert [task.name for task in meta.tasks] == meta.train
        return meta.train

    assert list_tasks("click", "buy") == ["click"]
    with pytest.raises(InputError, match=r"'buy' has several logits or a `given`"):
        list_tasks("buy")
