"""The configurations of pre-training and of new tasks, as plain data.

Imports no TensorFlow, as programs' flags take their defaults and choices from here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import AUTO, HEADS
from mptrec_tf.models.loss_weights import EQUAL, parse_loss_weights
from mptrec_tf.models.registry import DEFAULT, MODELS
from mptrec_tf.models.shapes import OF_DATA, ModelShape
from mptrec_tf.storage.plain import from_plain, to_plain, values_from_plain
from mptrec_tf.training.cluster import PARAMETER_SERVER

SCHEDULES = ("constant", "cosine")
LARGEST_SEED = 2**31 - 1  # of TensorFlow's 64 bits, what NumPy and Python take, too


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train. The defaults are the paper's for Census-Income.

    Attributes:
      epochs: int. The most epochs to train.
      patience: int. Stop after so many epochs without a better sum of validation scores.
      batch_size: int. Rows of a step.
      learning_rate: float. Learning rate of Adam.
      seed: int. Seed of the weights, the order of rows, and everything else that is random.
      schedule: str. "constant", or "cosine": the learning rate falls to 0 in the last epoch.
      warmup_steps: int. With "cosine": steps in which the learning rate rises from 0; at most a
        tenth of all steps.
      calibrate: bool. Fit the predictions of the best epoch to the validation rows, see
        `calibration`, in the way that each task names; False, for no task, is the paper's.

    Example:
      >>> TrainingConfig(epochs=15, learning_rate=2e-3, schedule="cosine").patience
      5
    """

    epochs: int = 30
    patience: int = 5
    batch_size: int = 256
    learning_rate: float = 1e-3
    seed: int = 1
    schedule: str = "constant"
    warmup_steps: int = 0
    calibrate: bool = True

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule should be one of {SCHEDULES}. Received: {self.schedule!r}.")


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """The model to pre-train, and its training. The defaults are the paper's for Census-Income.

    Attributes:
      tasks: Names of the tasks to pre-train on.
      model: A name in `MODELS`.
      shape: Fields of the model's shape that differ from its defaults: `embedding_width`,
        `expert_units`, ...
      losses: Loss weights that differ from the model's defaults: `gen_weight`, ...
      training: How long and how fast.

    Example:
      >>> config = PretrainingConfig(("click", "like"), shape={"embedding_width": 8})
      >>> config.make_losses().gen_weight
      0.9
    """

    tasks: tuple[str, ...]
    model: str = DEFAULT
    shape: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    losses: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def make_shape(self, data: TrainingData) -> ModelShape:
        """Returns the model's shape for prepared data.

        Raises:
          InputError: for an unknown task, or one that is given another that is not pre-trained.
        """
        tasks = data.spec.select_tasks(self.tasks)
        for task in tasks:
            if task.given and task.given not in self.tasks:
                raise InputError(
                    f"task {task.name!r} is given {task.given!r}, so both have to be pre-trained: "
                    f"--tasks={','.join((task.given, *self.tasks))}."
                )
        return MODELS.get(self.model).shape(
            tasks=tuple(task.name for task in tasks),
            inputs=data.inputs,
            task_logits=tuple(task.logits for task in tasks),
            **self.shape,
        )

    def check_fields(self) -> None:
        """Rejects fields that the model's shape and losses do not have, and bad loss weights.

        Raises:
          InputError: naming the first such field.
        """
        kind = MODELS.get(self.model)
        for given, of in ((self.shape, kind.shape), (self.losses, kind.losses)):
            fields = {field.name for field in dataclasses.fields(of)} - set(OF_DATA)
            unknown = sorted(set(given) - fields)
            if unknown:
                raise InputError(f"model {self.model!r} has no {unknown[0]}; leave it out.")
        parse_loss_weights(self.losses.get("loss_weights", EQUAL), self.tasks)

    def adapt(self, strategy: str | None) -> "PretrainingConfig":
        """Returns the configuration with what a strategy needs, where nothing else is given.

        Args:
          strategy: A name in `cluster.STRATEGIES`, or None.
        """
        if strategy != PARAMETER_SERVER:
            return self
        of_workers = MODELS.get(self.model).losses.of_workers
        return dataclasses.replace(self, losses={**of_workers, **self.losses})

    def make_losses(self) -> Any:
        """Returns the weights of the model's losses."""
        return MODELS.get(self.model).losses(**self.losses)

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "PretrainingConfig":
        """Reads a configuration that `to_plain` wrote."""
        shape = values_from_plain(MODELS.get(raw["model"]).shape, raw["shape"])
        training = from_plain(TrainingConfig, raw["training"])
        return cls(tuple(raw["tasks"]), raw["model"], shape, raw["losses"], training)

    def record(self) -> dict[str, Any]:
        """Returns the settings to save with a pre-trained model."""
        return {
            "losses": to_plain(self.make_losses()),
            "training": to_plain(self.training),
        }


@dataclasses.dataclass(frozen=True)
class NewTaskConfig:
    """The head of a new task, and its training.

    Attributes:
      head: A name in `HEADS`, or "auto": the best of them on the validation rows.
      shape: Fields of the heads' shapes that differ from their defaults; heads without such a field
        ignore it.
      training: Fields of `TrainingConfig` that differ from the heads' recipes.

    Example:
      >>> config = NewTaskConfig(head="prompt", shape={"tau": 100.0}, training={"epochs": 10})
      >>> config.head
      'prompt'
    """

    head: str = AUTO
    shape: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        names = HEADS.names()
        if self.head not in (AUTO, *names):
            raise InputError(
                f"unknown head {self.head!r}; give {AUTO} or one of {', '.join(names)}."
            )
        check_fields(names if self.head == AUTO else (self.head,), self.shape)

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "NewTaskConfig":
        """Reads a configuration that `to_plain` wrote."""
        shapes = [HEADS.get(kind).shape for kind in HEADS.names()]
        by_field = {f.name: shape for shape in shapes for f in dataclasses.fields(shape)}
        values = [
            values_from_plain(by_field[name], {name: value})
            for name, value in raw["shape"].items()
            if name in by_field
        ]
        shape = dict(raw["shape"]) | {name: v for of in values for name, v in of.items()}
        return cls(raw["head"], shape, dict(raw["training"]))

    def whole_training(self, kind: str) -> TrainingConfig:
        """Returns how a kind of head is trained: by its recipe, but for `training`."""
        return dataclasses.replace(make_recipe(kind), **self.training)


def check_fields(kinds: Sequence[str], shape: Mapping[str, Any]) -> None:
    """Rejects fields of a head's shape that none of these kinds has.

    Raises:
      InputError: naming the first such field.
    """
    known = {f.name for kind in kinds for f in dataclasses.fields(HEADS.get(kind).shape)}
    unknown = set(shape) - known
    if unknown:
        raise InputError(f"head {kinds[0]!r} has no {sorted(unknown)[0]}; leave it out.")


def make_recipe(kind: str) -> TrainingConfig:
    """Returns the best training configuration of a kind of head, see `HeadKind.recipe`."""
    return TrainingConfig(**HEADS.get(kind).recipe)
