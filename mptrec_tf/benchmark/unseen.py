"""The suite of tasks that were never looked at: what was tuned elsewhere, on other labels.

Eleven label columns of Census-Income that no choice of this project was made on, taken from the
data set's description before any of them was run: no head, default or border was tuned on them,
and none may be. The model is pre-trained on income and marital, without all eleven columns. Each
new task is learnt by the head that is chosen automatically and by the paper's, by a model of its
own, and jointly with the old tasks; and, with the first seed, from few labels, where the border
`FEW_LABELS` decides which heads are tried. Imports no TensorFlow.

Columns that other choices were made on are left alone: education, weeks_worked, tax_filer_stat,
capital_gains, sex, det_hh_summ, full_or_part_emp, det_hh_fam_stat.
"""

from collections.abc import Iterator

from mptrec_tf.benchmark import cost_tables, figures, rank_tables, tables
from mptrec_tf.benchmark.cells import AddTask, Cell, Prepare
from mptrec_tf.benchmark.suites import Grid, Suite
from mptrec_tf.models.heads.registry import AUTO, list_fitting
from mptrec_tf.models.heads.registry import DEFAULT as PAPERS_HEAD
from mptrec_tf.models.registry import DEFAULT as OURS
from mptrec_tf.models.registry import MODELS

DATA = "columns of all new tasks left out"
ALONE = "single"
TASKS = (
    *("over_40", "private_worker", "hourly_wage", "in_high_school", "black", "in_union"),
    *("capital_loss", "dividends", "large_employer", "both_parents", "no_own_business"),
)
# Shares of the labels, on both sides of the border, and what is on both sides of it.
FEW, QUICK_FEW = (0.001, 0.01), (0.2,)
WITH_FEW = (AUTO, "fixed", "residual_small")


def make_cells(grid: Grid) -> list[Cell]:
    """Returns the cells: for each seed a model, and for each new task the four ways to learn it."""
    data = Prepare(DATA, (*grid.old, *grid.new))
    cells = [cell for seed in grid.seeds for cell in _make_seed(grid, data, seed)]
    return [*cells, *_make_few(grid, data)]


def _make_few(grid: Grid, data: Prepare) -> Iterator[Cell]:
    """Yields the new tasks from few labels, with the first seed, where heads are chosen at all."""
    shared = {"data": data, "seed": grid.seeds[0]}
    for share in (QUICK_FEW if grid.quick else FEW) if AUTO in grid.heads else ():
        for task in grid.new:
            for model in grid.models:
                backbone = grid.train(
                    tasks=grid.old, role="two_tasks", keep=True, model=model, **shared
                )
                for head in (AUTO, *list_fitting(MODELS.get(model).offers)):
                    if head in WITH_FEW:
                        yield AddTask(backbone, task, head, grid.training, share)
            yield grid.train(tasks=(task,), model=ALONE, role="alone", share=share, **shared)


def _make_seed(grid: Grid, data: Prepare, seed: int) -> Iterator[Cell]:
    for model in grid.models:
        shared = {"data": data, "model": model, "seed": seed}
        backbone = grid.train(tasks=grid.old, role="two_tasks", keep=True, **shared)
        for task in grid.new:
            for head in grid.heads_for(model):
                yield AddTask(backbone, task, head, grid.training)
            yield grid.train(tasks=(*grid.old, task), role="joint", **shared)
    for task in grid.new:
        yield grid.train(data=data, tasks=(task,), model=ALONE, seed=seed, role="alone")


def make_tables(results) -> list:
    """Returns the tables of the suite, see `Suite.make_tables`."""
    return [
        *rank_tables.make_duel_tables(results),
        *tables.make_new_task_tables(results),
        *cost_tables.make_old_task_tables(results),
        *rank_tables.make_rank_tables(results),
        *tables.make_label_tables(results),
        *cost_tables.make_tuning_tables(results),
    ]


def make_figures(results) -> dict:
    """Returns the figures of the suite, see `Suite.make_figures`."""
    return {"differences": figures.draw_duels, "ranks": figures.draw_ranks}


UNSEEN = Suite(
    make_cells,
    make_tables,
    make_figures,
    models=(OURS,),
    heads=(AUTO, PAPERS_HEAD),
    tasks={"census_income": ("income", "marital")},
    new_tasks={"census_income": TASKS},
)
