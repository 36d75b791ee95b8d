"""The cells of a benchmark: each is one preparation, training or measurement, as plain data.

A cell names what it needs, and writes one result. What is in a cell decides its key, so that a
result is found again however the grid around it grows. Imports no TensorFlow: what a cell does is
imported when it runs.
"""

import abc
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from mptrec_tf.kinds import load
from mptrec_tf.storage.plain import added, fields_to_plain

if TYPE_CHECKING:
    from mptrec_tf.benchmark.place import Place


@dataclasses.dataclass(frozen=True)
class Cell(abc.ABC):
    """A cell.

    Attributes:
      kind: str. What is done, for result rows.
      exclusive: bool. Whether nothing else may run beside it, as it measures time.
      runs: "module:function" of what it does: (cell, place) to the fields of its result.
    """

    kind: ClassVar[str]
    exclusive: ClassVar[bool] = False
    runs: ClassVar[str]

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What is done, in a few words, for progress and file names."""

    @property
    def needs(self) -> "tuple[Cell, ...]":
        """Cells whose results it reads."""
        return ()

    @property
    def key(self) -> str:
        """Its name in the output directory: the title, and a digest of all that it depends on."""
        content = json.dumps(self.to_plain(), sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:10]
        return f"{re.sub(r'[^A-Za-z0-9_=.-]+', '-', self.title)[:80]}-{digest}"

    def to_plain(self) -> dict[str, Any]:
        """Returns all that the cell depends on, as plain data."""
        return {"kind": self.kind, **fields_to_plain(self)}

    def run(self, place: "Place") -> dict[str, Any]:
        """Does it; returns the fields of its result, as plain data."""
        return load(self.runs)(self, place)


@dataclasses.dataclass(frozen=True)
class Prepare(Cell):
    """Prepares the rows once for all cells that read them.

    Attributes:
      name: str. What distinguishes these rows in tables: "new tasks' columns left out".
      tasks: Tasks of the data set; their label columns are no features.
    """

    kind = "prepare"
    runs = "mptrec_tf.benchmark.training_cells:prepare_rows"

    name: str
    tasks: tuple[str, ...]

    @property
    def title(self) -> str:
        """What is prepared."""
        return f"prepare {self.name}"

    def to_plain(self) -> dict[str, Any]:
        """Returns its fields, and a list that earlier versions had: keys stay as they are."""
        return {**super().to_plain(), "rules": []}


@dataclasses.dataclass(frozen=True)
class Train(Cell):
    """Trains a model on some tasks, from scratch.

    Attributes:
      data: The rows.
      tasks: The tasks.
      model: str. A name in `MODELS`.
      seed: int.
      role: str. What it is for: "two_tasks", "joint", "alone", "ablation", "sensitivity", "trial".
      variant: str. What distinguishes it from the model's own settings; empty: nothing.
      shape: Fields of the shape that differ from the model's.
      losses: Loss weights that differ from the model's.
      training: Fields of `TrainingConfig` that differ from its defaults.
      share: float. The share of the training rows that have a label.
      trained: bool. False: fresh weights, for what pre-training is worth.
      keep: bool. Whether to save the model, for new tasks.
      trials: Tried hyper-parameters; the best of them on the validation rows are used.
      meta_tasks: Tasks by which the first weights are learnt, see `training.meta_learning`.
    """

    kind = "train"
    runs = "mptrec_tf.benchmark.training_cells:train_model"

    data: Prepare
    tasks: tuple[str, ...]
    model: str
    seed: int
    role: str
    variant: str = ""
    shape: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    losses: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    share: float = 1.0
    trained: bool = True
    keep: bool = False
    trials: "tuple[Train, ...]" = ()
    meta_tasks: tuple[str, ...] = added(())

    @property
    def title(self) -> str:
        """Role, model, variant, tasks and seed."""
        parts = [self.role, self.model, self.variant, "+".join(self.tasks)]
        share = [f"{100 * self.share:g}% of labels"] if self.share < 1 else []
        return " ".join([*filter(None, parts), *share, f"seed {self.seed}"])

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The rows, and the trials."""
        return (self.data, *self.trials)


@dataclasses.dataclass(frozen=True)
class AddTask(Cell):
    """Adds a new task to a pre-trained model.

    Attributes:
      backbone: The model.
      task: str. The new task.
      head: str. A name in `HEADS`, or "auto".
      training: Fields of `TrainingConfig` that differ from the head's recipe.
      share: float. The share of the training rows that have a label.
    """

    kind = "add_task"
    runs = "mptrec_tf.benchmark.training_cells:add_task"

    backbone: Train
    task: str
    head: str
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    share: float = 1.0

    @property
    def seed(self) -> int:
        """The seed, of the model and of the head."""
        return self.backbone.seed

    @property
    def title(self) -> str:
        """Task, head, model, variant and seed."""
        on = " ".join(filter(None, [self.backbone.model, self.backbone.variant]))
        share = f" {100 * self.share:g}% of labels" if self.share < 1 else ""
        return f"add {self.task} {self.head} on {on}{share} seed {self.seed}"

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The model."""
        return (self.backbone,)


@dataclasses.dataclass(frozen=True)
class Serve(Cell):
    """Measures a request's time: of a model alone, and with more and more tasks added to it.

    Attributes:
      backbone: The model.
      head: str. The kind of all heads; empty: the model alone.
      counts: Numbers of added tasks.
      candidates: int. Rows of a request.
      seconds: float. Seconds of calls for each number of tasks.
    """

    kind = "serve"
    exclusive = True
    runs = "mptrec_tf.benchmark.serving_cells:measure_serving"

    backbone: Train
    head: str = ""
    counts: tuple[int, ...] = (0, 1, 9)
    candidates: int = 64
    seconds: float = 3.0

    @property
    def seed(self) -> int:
        """The model's seed."""
        return self.backbone.seed

    @property
    def title(self) -> str:
        """Model and head."""
        with_head = f" with {self.head}" if self.head else " alone"
        return f"serve {self.backbone.role} {self.backbone.model}{with_head}"

    @property
    def needs(self) -> tuple[Cell, ...]:
        """The model."""
        return (self.backbone,)
