"""The cells of the suites."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from mptrec_tf.benchmark import paper, unseen
from mptrec_tf.benchmark.cells import AddTask, Prepare, Serve, Train
from mptrec_tf.benchmark.scheduling import list_cells
from mptrec_tf.benchmark.sources import FirstRows, RowSource
from mptrec_tf.benchmark.suites import SUITES, Grid
from mptrec_tf.data.sets.census_income.spec import COLUMNS, TASKS
from mptrec_tf.data.sources.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import AUTO, HEADS, list_fitting
from mptrec_tf.models.registry import MODELS

GRID = Grid(
    "census_income",
    ("income", "marital"),
    ("education",),
    (1, 2),
    MODELS.names(),
    (AUTO, *HEADS.names()),
)


def make_cells(suite, **changes):
    return list_cells(SUITES.get(suite).make_cells(dataclasses.replace(GRID, **changes)))


@pytest.fixture(scope="module")
def cells():
    return make_cells("paper")


def select(cells, kind, **wanted):
    return [
        c
        for c in cells
        if isinstance(c, kind) and all(getattr(c, k) == v for k, v in wanted.items())
    ]


def test_every_model_is_trained_on_two_tasks_and_jointly_with_every_seed(cells):
    for role in ("two_tasks", "joint"):
        trained = {(c.model, c.seed) for c in select(cells, Train, role=role)}
        assert trained == {(model, seed) for model in MODELS.names() for seed in (1, 2)}
    alone = {(c.tasks, c.model, c.meta_tasks) for c in select(cells, Train, role="alone")}
    assert alone == {(("education",), "single", of) for of in ((), ("income", "marital"))}


def test_every_head_is_added_to_every_model_that_it_fits(cells):
    added = {
        (c.backbone.model, c.head)
        for c in select(cells, AddTask, share=1.0)
        if c.backbone.role == "two_tasks"
    }
    assert added == {
        (model, head)
        for model, kind in MODELS.all().items()
        for head in (AUTO, *list_fitting(kind.offers))
    }


def test_ablations_have_their_fields_and_the_papers_head(cells):
    ablations = {c.variant: c for c in select(cells, Train, role="ablation", seed=1)}
    assert ablations.keys() == {*paper.ABLATIONS, paper.NO_PRETRAINING}
    for cell in ablations.values():
        kind = MODELS.get(cell.model)
        assert set(cell.shape) <= {f.name for f in dataclasses.fields(kind.shape)}
        kind.losses(**cell.losses)
    assert not ablations[paper.NO_PRETRAINING].trained
    heads = {c.head for c in select(cells, AddTask) if c.backbone.role == "ablation"}
    assert heads == {"prompt"}


def test_fewer_labels_are_of_our_model_and_of_the_task_alone(cells):
    shares = {c.share for c in select(cells, AddTask)}
    assert shares == {1.0, *paper.SHARES}
    assert {c.share for c in select(cells, Train, role="alone")} == shares


def test_what_is_trained_once_is_shared(cells):
    assert len({cell.key for cell in cells}) == len(cells)
    backbones = {c.backbone.key for c in select(cells, AddTask)}
    assert backbones <= {c.key for c in select(cells, Train) if c.keep}


def test_a_new_tasks_own_model_is_measured_beside_heads(cells):
    served = {(c.backbone.role, c.head) for c in select(cells, Serve)}
    offers = MODELS.get("mptrec").offers
    assert served == {("alone", ""), *(("two_tasks", head) for head in list_fitting(offers))}


def test_quick_is_short_and_a_part(cells):
    quick = make_cells("paper", quick=True, seeds=(1,))
    assert len(quick) < len(cells) / 2
    assert all(c.training == {"epochs": 2} for c in select(quick, Train))
    assert all(c.training == {"epochs": 2} for c in select(quick, AddTask))


def test_a_spec_has_no_rows_with_label_columns_as_features():
    assert paper.KEPT not in {getattr(c, "name", "") for c in make_cells("paper", dataset="")}


def test_every_model_has_the_same_budget():
    tuned = make_cells("paper", tune=3)
    trials = select(tuned, Train, role="trial", tasks=GRID.old)
    left_out = [t for t in trials if t.data.name == paper.LEFT_OUT]
    by_model = {m: [t for t in left_out if t.model == m] for m in MODELS.names()}
    tried = {m: [(dict(t.shape), dict(t.training)) for t in of] for m, of in by_model.items()}
    assert all(len(of) == 3 for of in tried.values())
    assert all(of == tried["mptrec"] for of in tried.values())
    assert tried["mptrec"][0] == ({}, {})  # the defaults are the first try
    assert {t.seed for t in trials} == {1}
    two = select(tuned, Train, role="two_tasks", model="mptrec", seed=2)
    assert [t.variant for t in two[0].trials] == [t.variant for t in by_model["mptrec"]]


# Columns that choices were made on: no task of the suite reads one.
LOOKED_AT = {
    *("income_50k", "marital_stat", "education", "weeks_worked", "tax_filer_stat"),
    *("capital_gains", "sex", "det_hh_summ", "full_or_part_emp", "det_hh_fam_stat"),
}


def test_unseen_tasks_are_ten_or_more_that_nothing_was_tuned_on():
    labels = [TASKS[name].label for name in unseen.TASKS]
    assert len(set(labels)) == len(labels) >= 10
    assert not set(labels) & LOOKED_AT
    assert set(labels) <= set(COLUMNS)
    assert {task.label for task in TASKS.values()} - set(labels) <= LOOKED_AT


def test_unseen_tasks_are_learnt_in_four_ways():
    suite = SUITES.get("unseen")
    cells = make_cells(
        "unseen", new=unseen.TASKS, seeds=(1,), models=("mptrec",), heads=suite.heads
    )
    few = [c for c in cells if getattr(c, "share", 1.0) < 1]
    assert len(cells) - len(few) == 1 + 1 + 4 * len(unseen.TASKS)
    assert {c.head for c in select(cells, AddTask) if c.share == 1} == {"auto", "prompt"}
    assert len(few) == len(unseen.FEW) * len(unseen.TASKS) * 4
    assert {c.head for c in select(few, AddTask)} == {"auto", "fixed", "residual_small"}
    [data] = select(cells, Prepare)
    assert data.tasks == ("income", "marital", *unseen.TASKS)
    spec = RowSource("census_income").make_spec(data.tasks)
    labels = {"income_50k", "marital_stat", *(TASKS[name].label for name in unseen.TASKS)}
    assert sorted(spec.feature_names) == sorted(set(COLUMNS) - labels)
    assert spec.task_names == data.tasks


def test_keys_are_those_of_earlier_versions():
    prepare = Prepare(paper.KEPT, ("income", "marital"))
    assert prepare.key == "prepare-new-tasks-columns-are-features-9e48caf651"
    train = Train(prepare, ("income", "marital"), "mptrec", 1, "two_tasks")
    assert train.key == "two_tasks-mptrec-income-marital-seed-1-5d1663d925"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("mptrek",)}, "unknown model 'mptrek'.*did you mean 'mptrec'"),
        ({"heads": ("promt",)}, "unknown head 'promt'.*did you mean 'prompt'"),
        ({"seeds": ()}, "--seeds names none; give at least one"),
        ({"new": ("income",)}, "task 'income' is named twice"),
    ],
)
def test_mistakes_in_a_grid(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(GRID, **changes)


def test_the_first_rows_of_each_split():
    source = RowSource("synthetic", {"rows": 3000}, most_rows=2500).open(["click"])
    assert isinstance(source, FirstRows)
    whole = RowSource("synthetic", {"rows": 3000}).open(["click"])

    def read(of):
        blocks = [b for shard in of.shards("train") for b in of.read(shard)]
        return np.concatenate([b.column(of.spec.features[0].name) for b in blocks])

    assert source.estimated_rows("train") == 2500
    np.testing.assert_array_equal(read(source), read(whole)[:2500])


def test_the_first_rows_of_each_shard():
    class Countries:
        """Files of 5, 900, 900 and 2 rows, in blocks of 100."""

        spec = RowSource("synthetic", {"rows": 10}).make_spec(["click"])

        def shards(self, split):
            return {"nl": 5, "es": 900, "fr": 900, "us": 2}.items()

        def read(self, shard):
            name, rows = shard
            for begin in range(0, rows, 100):
                count = min(100, rows - begin)
                values = {"country": np.array([name] * count, object)}
                yield Block(values, name, np.arange(begin, begin + count))

    source = FirstRows(Countries(), 705)
    read = [
        country
        for shard in source.shards("train")
        for block in source.read(shard)
        for country in block.column("country")
    ]
    # The two large ones share what the small one before them leaves.
    assert Counter(read) == {"nl": 5, "es": 234, "fr": 233, "us": 2}
