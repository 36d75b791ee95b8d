"""The suite of tasks that were never looked at: what was tuned elsewhere, on other labels.

Eleven label columns of Census-Income that no choice of this project was made on, taken from the
data set's description before any of them was run: no head, default or border was tuned on them,
and none may be. The model is pre-trained on income and marital, without all eleven columns. Each
new task is learnt by the head that is chosen automatically and by the paper's, by a model of its
own, and jointly with the old tasks. Imports no TensorFlow.

Columns that other choices were made on are left alone: education, weeks_worked, tax_filer_stat,
capital_gains, sex, det_hh_summ, full_or_part_emp, det_hh_fam_stat.
"""

from collections.abc import Iterator

from mptrec_tf.benchmark import cost_tables, figures, rank_tables, tables
from mptrec_tf.benchmark.cells import AddTask, Cell, Prepare
from mptrec_tf.benchmark.suites import Grid, Suite
from mptrec_tf.models.heads.registry import AUTO
from mptrec_tf.models.heads.registry import DEFAULT as PAPERS_HEAD
from mptrec_tf.models.registry import DEFAULT as OURS

DATA = "columns of all new tasks left out"
ALONE = "single"
TASKS = (
    *("over_40", "private_worker", "hourly_wage", "in_high_school", "black", "in_union"),
    *("capital_loss", "dividends", "large_employer", "both_parents", "no_own_business"),
)


def make_cells(grid: Grid) -> list[Cell]:
    """Returns the cells: for each seed a model, and for each new task the four ways to learn it."""
    data = Prepare(DATA, (*grid.old, *grid.new))
    return [cell for seed in grid.seeds for cell in _make_seed(grid, data, seed)]


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
