"""The suite of the paper: its models, ablations, heads and figures, on one data set.

Bai et al., *Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214. Every registered model is trained on the old tasks, and on all
tasks jointly; every head is added to every model that it fits. Imports no TensorFlow.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mptrec_tf.benchmark import cost_tables, figures, rank_tables, tables
from mptrec_tf.benchmark.cells import AddTask, Cell, Prepare, Serve, Train
from mptrec_tf.benchmark.suites import Grid, Suite
from mptrec_tf.models.heads.registry import AUTO
from mptrec_tf.models.heads.registry import DEFAULT as PAPERS_HEAD
from mptrec_tf.models.registry import DEFAULT as OURS

# The paper's ablations of stage 1 (figure 4), as fields of the shape and of the losses.
ABLATIONS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "share_only": ({"fusion": "share_only"}, {}),
    "specific_only": ({"fusion": "specific_only"}, {}),
    "no_adversary": ({}, {"adversarial_weight": 0.0}),
}
NO_PRETRAINING = "no pre-training"
# Loss weights whose sensitivity is shown; 0.9 and 0.1 are the paper's.
SENSITIVITY = {
    "gen_weight": (0.0, 0.3, 0.6, 1.2),
    "adversarial_weight": (0.01, 0.03, 0.3, 1.0),
}
QUICK_SENSITIVITY = {"gen_weight": (0.0,), "adversarial_weight": (1.0,)}
SHARES, QUICK_SHARES = (0.01, 0.05, 0.2), (0.2,)
ALONE = "single"
MAML = "after MAML"
# Test AUC that the paper publishes, by data set: task, method, value.
PUBLISHED = {
    "census_income": (
        ("income", "MPT-Rec, two tasks", 0.9517),
        ("marital", "MPT-Rec, two tasks", 0.9926),
        ("education", "MPT-Rec, then prompt tuning", 0.8626),
        ("education", "frozen PLE with an expert, gate and tower", 0.8617),
        ("education", "MAML", 0.8563),
        ("education", "frozen MMoE with a gate and tower", 0.8497),
        ("education", "frozen Shared-Bottom with a tower", 0.8133),
    )
}
LEFT_OUT, KEPT = "new tasks' columns left out", "new tasks' columns are features"


def make_cells(grid: Grid) -> list[Cell]:
    """Returns the cells of the paper's tables and figures, the main ones of each seed first."""
    left_out = Prepare(LEFT_OUT, (*grid.old, *grid.new))
    cells: list[Cell] = []
    for seed in grid.seeds:
        cells += _make_main(grid, left_out, seed)
    for seed in grid.seeds:
        cells += _make_more(grid, left_out, seed)
    cells += _make_serving(grid, left_out)
    return cells


def _pretrain(grid: Grid, data: Prepare, model: str, seed: int, **fields: Any) -> Train:
    fields = {"role": "two_tasks", "keep": True, **fields}
    return grid.train(data=data, tasks=grid.old, model=model, seed=seed, **fields)


def _make_main(grid: Grid, left_out: Prepare, seed: int) -> Iterator[Cell]:
    """Yields the models, their heads, joint training, and the new tasks alone."""
    for model in grid.models:
        backbone = _pretrain(grid, left_out, model, seed)
        yield backbone
        for task in grid.new:
            for head in _list_heads(grid, model):
                yield AddTask(backbone, task, head, grid.training)
            joint = (*grid.old, task)
            yield grid.train(data=left_out, tasks=joint, model=model, seed=seed, role="joint")
    for task in grid.new:
        yield _train_alone(grid, left_out, task, seed, keep=seed == grid.seeds[0])
        yield _train_alone(grid, left_out, task, seed, variant=MAML, meta_tasks=grid.old)


def _list_heads(grid: Grid, model: str) -> tuple[str, ...]:
    """Returns the heads to add to a model; a quick run has no choice between them on others."""
    heads = grid.heads_for(model)
    return heads if model == OURS or not grid.quick else tuple(h for h in heads if h != AUTO)


def _train_alone(grid: Grid, data: Prepare, task: str, seed: int, **fields: Any) -> Train:
    return grid.train(data=data, tasks=(task,), model=ALONE, seed=seed, role="alone", **fields)


def _make_more(grid: Grid, left_out: Prepare, seed: int) -> Iterator[Cell]:
    """Yields two-task training on all features, ablations, sensitivity, and fewer labels."""
    if grid.dataset:  # a spec's label columns are never features
        kept = Prepare(KEPT, grid.old)
        for model in grid.models:
            yield _pretrain(grid, kept, model, seed, keep=False)
    if OURS in grid.models:
        yield from _make_ablations(grid, left_out, seed)
    shares = QUICK_SHARES if grid.quick else SHARES
    for task in grid.new:
        for share in shares:
            yield _train_alone(grid, left_out, task, seed, share=share)
            if OURS in grid.models:
                backbone = _pretrain(grid, left_out, OURS, seed)
                for head in grid.heads_for(OURS):
                    yield AddTask(backbone, task, head, grid.training, share)


def _make_ablations(grid: Grid, left_out: Prepare, seed: int) -> Iterator[Cell]:
    backbones = [
        _pretrain(
            grid, left_out, OURS, seed, role="ablation", variant=name, shape=shape, losses=losses
        )
        for name, (shape, losses) in ABLATIONS.items()
    ]
    backbones.append(
        _pretrain(
            grid, left_out, OURS, seed, role="ablation", variant=NO_PRETRAINING, trained=False
        )
    )
    for backbone in backbones:
        yield backbone
        for task in grid.new:
            for head in grid.heads_for(OURS, [PAPERS_HEAD]):
                yield AddTask(backbone, task, head, grid.training)
    for name, values in (QUICK_SENSITIVITY if grid.quick else SENSITIVITY).items():
        for value in values:
            yield _pretrain(
                grid,
                left_out,
                OURS,
                seed,
                role="sensitivity",
                variant=f"{name}={value:g}",
                losses={name: value},
                keep=False,
            )


def _make_serving(grid: Grid, left_out: Prepare) -> Iterator[Cell]:
    """Yields what one more task costs when it is served, of each head and of a model of its own."""
    seed = grid.seeds[0]
    settings = {"counts": (0, 1, 3), "seconds": 0.5} if grid.quick else {}
    for model in grid.models:
        if model == OURS or OURS not in grid.models:
            backbone = _pretrain(grid, left_out, model, seed)
            for head in grid.heads_for(model):
                if head != AUTO:
                    yield Serve(backbone, head, **settings)
    for task in grid.new[:1]:
        yield Serve(_train_alone(grid, left_out, task, seed, keep=True), **settings)


def make_tables(results) -> list:
    """Returns the tables of the suite, see `Suite.make_tables`."""
    return [
        *tables.make_two_task_tables(results),
        *tables.make_new_task_tables(results),
        *cost_tables.make_cost_tables(results),
        *cost_tables.make_old_task_tables(results),
        *tables.make_ablation_tables(results),
        *tables.make_label_tables(results),
        *rank_tables.make_rank_tables(results),
        *cost_tables.make_tuning_tables(results),
        *cost_tables.make_published_tables(results, PUBLISHED),
    ]


def make_figures(results) -> dict:
    """Returns the figures of the suite, see `Suite.make_figures`."""
    return {
        "ablations": figures.draw_ablations,
        "pretraining_for_new_tasks": figures.draw_new_task_ablations,
        "weights_of_tasks": figures.draw_attentions,
        "representations": figures.draw_representations,
        "sensitivity": figures.draw_sensitivity,
        "gates_and_environments": figures.draw_gates,
        "prompts": figures.draw_prompts,
        "training_curves": figures.draw_curves,
        "labels": figures.draw_labels,
        "ranks": figures.draw_ranks,
    }


PAPER = Suite(make_cells, make_tables, make_figures)
