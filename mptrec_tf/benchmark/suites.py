"""The suites by name: each says which cells a grid has. Imports no TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mptrec_tf.benchmark.cells import Cell, Train
from mptrec_tf.errors import InputError
from mptrec_tf.kinds import Registry
from mptrec_tf.models.heads.registry import AUTO, HEADS, list_fitting
from mptrec_tf.models.registry import MODELS

# Of --quick: rows of each split, and what is set of every training.
QUICK_ROWS = 4000
QUICK_TRAINING = {"epochs": 2}
# Tried hyper-parameters: the same for every model. The first try is the defaults.
SEARCH_SPACE = {
    "shape": {
        "l2_embedding": [0.0006, 0.002, 0.006, 0.02],
        "l2_dense": [3e-6, 3e-5, 3e-4],
        "expert_dropout": [0.0, 0.1, 0.2],
        "tower_dropout": [0.0, 0.1, 0.2],
    },
    "training": {"learning_rate": [3e-4, 5e-4, 1e-3, 2e-3], "batch_size": [256, 512]},
}


@dataclasses.dataclass(frozen=True)
class Grid:
    """What a user asks for.

    Attributes:
      dataset: str. Name of the built-in data set; empty for a spec.
      old: Tasks to pre-train on.
      new: Tasks to add.
      seeds: Seeds.
      models: Names in `MODELS`.
      heads: Names in `HEADS`, or "auto".
      quick: bool. Whether to show that everything runs, in minutes.
      tune: int. How many hyper-parameters are tried for each model; 0: none.
    """

    dataset: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    models: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    quick: bool = False
    tune: int = 0

    def __post_init__(self) -> None:
        for name in self.models:
            MODELS.get(name)
        for name in self.heads:
            if name != AUTO:
                HEADS.get(name)
        for what, values in (("seeds", self.seeds), ("models", self.models), ("heads", self.heads)):
            if not values:
                raise InputError(f"--{what} names none; give at least one.")
        both = [*self.old, *self.new]
        for task in both:
            if both.count(task) > 1:
                raise InputError(
                    f"task {task!r} is named twice in --tasks={','.join(self.old)} "
                    f"--new_tasks={','.join(self.new)}; a new task is not pre-trained."
                )

    @property
    def training(self) -> Mapping[str, Any]:
        """Fields that every training sets."""
        return QUICK_TRAINING if self.quick else {}

    def heads_for(self, model: str, wanted: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns the grid's heads that fit a model, and of these the wanted ones, if any are."""
        fitting = (AUTO, *list_fitting(MODELS.get(model).offers))
        return tuple(h for h in self.heads if h in fitting and (not wanted or h in wanted))

    def train(self, **fields: Any) -> Train:
        """Returns a cell of training with the grid's settings, and its model's trials."""
        training = {**self.training, **fields.pop("training", {})}
        cell = Train(training=training, **fields)
        return dataclasses.replace(cell, trials=self._make_trials(cell)) if self.tune else cell

    def _make_trials(self, cell: Train) -> tuple[Train, ...]:
        """Returns the trials of a model: all on the same rows and tasks, with the first seed."""
        from sklearn.model_selection import ParameterSampler

        places = {name: of for of, fields in SEARCH_SPACE.items() for name in fields}
        space = {name: values for of in SEARCH_SPACE.values() for name, values in of.items()}
        tries: list[Mapping[str, Any]] = [{}]
        tries += ParameterSampler(space, self.tune - 1, random_state=1) if self.tune > 1 else []
        trials = []
        for tried in tries:
            by_place: dict[str, dict[str, Any]] = {of: {} for of in SEARCH_SPACE}
            for name, value in tried.items():
                by_place[places[name]][name] = value
            trials.append(
                Train(
                    data=cell.data,
                    tasks=cell.tasks,
                    model=cell.model,
                    seed=self.seeds[0],
                    role="trial",
                    variant=" ".join(f"{k}={v}" for k, v in sorted(tried.items())) or "defaults",
                    shape=by_place["shape"],
                    training={**self.training, **by_place["training"]},
                )
            )
        return tuple(trials)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A suite.

    Attributes:
      make_cells: Returns the cells of a grid; what they need is added to them.
      make_tables: Returns (title, note, data frame) of each table, from `Results`.
      make_figures: Returns a function that draws each figure, by name, from `Results`.
      models: Names of the models that it trains by default; empty: all.
      heads: Names of the heads that it trains by default; empty: all, and "auto".
      tasks: Names of tasks to pre-train on by default, by data set, where they are not the data
        set's own.
      new_tasks: Names of tasks to add by default, in the same way.
    """

    make_cells: "Callable[[Grid], list[Cell]]"
    make_tables: Callable[[Any], list]
    make_figures: Callable[[Any], dict]
    models: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    tasks: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    new_tasks: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


SUITES: Registry[Suite] = Registry(
    "suite",
    {
        "paper": "mptrec_tf.benchmark.paper:PAPER",
        "unseen": "mptrec_tf.benchmark.unseen:UNSEEN",
    },
)
