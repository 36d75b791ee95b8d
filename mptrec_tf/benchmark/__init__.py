"""The benchmark: a grid of models, ablations, heads and seeds, and the tables and figures of it.

    suites          `SUITES`: which cells a suite has; `paper` and `unseen`
    cells           `Cell`: one training or measurement, as plain data
    place           `Place`: the output directory, a file for each finished cell
    scheduling      `run_cells`: cells in processes, in the order of their needs
    training_cells  what a cell of training does
    serving_cells   what a cell of serving does
    flops           `count_flops`: of a training step, from its graph
    results         the finished cells as data frames
    significance    paired tests, Friedman and Nemenyi
    tables, cost_tables, rank_tables, figures, report    what is rendered from the results

Import functions from their modules: this package imports none.
"""

__all__ = [
    "cells",
    "cost_tables",
    "figures",
    "flops",
    "machine",
    "paper",
    "place",
    "rank_tables",
    "report",
    "results",
    "scheduling",
    "serving_cells",
    "significance",
    "sources",
    "suites",
    "tables",
    "training_cells",
    "unseen",
]
