"""The interface of tasks: a label column, a loss, a prediction and a score.

A kind of task is a subclass of `Task` in its own module and a line in the registry. Its fields are
its keys in a spec. All other code handles tasks through this interface. A model outputs one logit
per task; losses and predictions are computed from the logits of all tasks of a kind at once.
Modules of kinds import TensorFlow inside the functions that need it.
"""

import abc
import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.tasks.label_tables import LabelTables
from mptrec_tf.data.tasks.row_labels import MISSING, REJECT, SKIP, RowLabels
from mptrec_tf.data.tasks.scores import TaskScores
from mptrec_tf.storage.plain import ADDED, fields_to_plain

if TYPE_CHECKING:
    import tensorflow as tf

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# Metadata of fields that preparation sets, by `Task.fit`; a spec does not have them.
FITTED = {"fitted": True}
PROBABILITY = "probability"  # the `output` of tasks that others can be given
# Metadata of fields that change how a model is trained, and neither labels nor metrics.
TRAINING = {"training": True, **ADDED}
# Metadata of fields that name columns with the best predictions, see `Task.known_columns`.
KNOWN = {"known": True}
PLATT, ISOTONIC, NONE = "platt", "isotonic", "none"


@dataclasses.dataclass(frozen=True)
class Task(RowLabels, LabelTables, TaskScores, abc.ABC):
    """A task: how labels are made of a raw column, and predictions of a logit.

    How labels are made of rows is in `RowLabels`, how they are counted and shown in `LabelTables`,
    scores and metrics in `TaskScores`.

    Class attributes:
      kind: Its name in the registry and in specs.
      score_name: The name of the score by which training, the choice of a head and the gates
        decide. It is larger for a better model. Scores of different kinds are not comparable.
      least_score: The score of a useless model; None if there is no such number.
      output: The name of a prediction in texts: "probability".
      given: The name of a task whose probability is a factor of this task's, see
        `models.entire_space`; None for kinds and tasks without one.
      one_label: Describes a split all of whose labels are the same.
      label_hint: What to check in such a split.
      calibrations: What `calibrate` may be. A kind that has "isotonic" predicts one number.

    Attributes:
      name: str. The task's name in models, reports and served outputs.
      label: str. The raw column with the label.
      where: Values by raw column, compared in their canonical form: the rows that hold one of
        them in each column have a label, and others have none. Empty: all rows have one.
      missing: str. A missing value of `label` is an error ("reject"), or the row has no label for
        this task ("skip"); then files may lack the column, too.
      weight: Optional str. A raw column with the non-negative weight of each row in this task's
        loss and metrics, beside the weight of the data set: the product of both counts.
      calibrate: str. How the predictions of a trained model are fitted to the validation rows:
        "platt" (scale and shift of the logit, see `calibration`), "isotonic" (then also `knots`),
        or "none".
      knots: A monotone map of predictions, as (from, to) pairs; see `evaluation.isotonic`. Set by
        training; empty: none.

    Example:
      @dataclasses.dataclass(frozen=True)
      class CountTask(Task):
          kind = "count"
          score_name = "negative squared error"

          def label_of(self, value, missing_values):
              return float(value) if value.isdigit() else math.nan

          @classmethod
          def losses(cls, tasks, logits, labels):
              return tf.nn.log_poisson_loss(tf.transpose(labels), logits)

          @classmethod
          def predictions(cls, tasks, logits):
              return tf.exp(logits)

          def row_scores(self, labels, predictions):
              return -((labels - predictions) ** 2)

      TASKS.register("count", CountTask)
    """

    kind: ClassVar[str]
    score_name: ClassVar[str]
    least_score: ClassVar[float | None] = None
    output: ClassVar[str] = "number"
    one_label: ClassVar[str] = "one label only"
    label_hint: ClassVar[str] = "check what makes the label"
    given = None  # without an annotation, which would give it a place among the fields
    calibrations: ClassVar[tuple[str, ...]] = (PLATT, NONE)

    name: str
    label: str
    where: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict, kw_only=True, hash=False
    )
    missing: str = dataclasses.field(default=REJECT, kw_only=True)
    weight: str | None = dataclasses.field(default=None, kw_only=True, metadata=ADDED)
    calibrate: str = dataclasses.field(default=PLATT, kw_only=True, metadata=TRAINING)
    knots: tuple[tuple[float, float], ...] = dataclasses.field(
        default=(), kw_only=True, metadata=FITTED | ADDED
    )

    def __post_init__(self) -> None:
        where = {}
        for column, values in dict(self.where).items():
            values = (values,) if isinstance(values, str | int | float) else values
            where[column] = tuple(sorted({canonicalize(value) for value in values}))
        object.__setattr__(self, "where", where)

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Raw columns with the best possible predictions of simulated rows, if there are any."""
        return ()

    def other_columns(self) -> dict[str, str]:
        """Returns other raw columns that cannot be features, and their names in messages."""
        known = dict.fromkeys(self.known_columns, f"known {self.output}")
        return known | ({self.weight: "weight"} if self.weight else {})

    def problems(self, taken_names: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each problem with the task.

        Args:
          taken_names: Names of earlier tasks.
        """
        if not _NAME.match(self.name):
            yield f"task name {self.name!r} must be letters, digits and _ and begin with a letter"
        if self.name in taken_names:
            yield f"task {self.name!r} is listed twice"
        if self.missing not in MISSING:
            yield (
                f"task {self.name!r}: missing must be {' or '.join(MISSING)}, not {self.missing!r}"
            )
        for column, values in self.where.items():
            if column == self.label:
                yield f"task {self.name!r}: where names its own label column {column!r}"
            if not values:
                yield f"task {self.name!r}: where gives no value of column {column!r}"
        if self.calibrate not in self.calibrations:
            *others, last = self.calibrations
            yield (
                f"task {self.name!r}: calibrate must be {', '.join(others)} or {last}, not "
                f"{self.calibrate!r}"
            )
        if self.weight == self.label:
            yield f"task {self.name!r}: weight names its own label column {self.label!r}"

    def fit(self, summary: Mapping[str, float]) -> "Task":
        """Returns the task with the fields that the training rows decide, see `FITTED`.

        Args:
          summary: `summary` of the training rows.
        """
        del summary
        return self

    @property
    def needs_values(self) -> bool:
        """Whether labels can be made only when the values of the training rows are known."""
        return False

    def form(self, value: Any) -> str:
        """Returns the text by which a label value is compared."""
        return canonicalize(value)

    def fit_values(self, counted: Mapping[str, int]) -> "Task":
        """Returns the task with the fields that its labels need, if it `needs_values`.

        Args:
          counted: Rows by label value, see `form`, of the training rows; if there are more than
            `label_survey.MOST_VALUES`, the most frequent ones.

        Raises:
          InputError: for values that do not fit.
        """
        del counted
        return self

    def same_labels(self, other: "Task") -> bool:
        """Whether two tasks of one rule, fitted on other training rows, have the same labels."""
        del other
        return True

    def unfitted(self) -> "Task":
        """Returns the task without what training rows decided, see `FITTED`."""
        return self._reset({"fitted"})

    def label_rule(self) -> "Task":
        """Returns the task with only the fields that decide its labels and their weights."""
        return self._reset({"fitted", "training", "known"})

    def _reset(self, kinds: Collection[str]) -> "Task":
        """Returns the task with the defaults of the fields of some kinds, by their metadata."""
        fields = [f for f in dataclasses.fields(self) if f.metadata.keys() & set(kinds)]
        return dataclasses.replace(self, **{field.name: field.default for field in fields})

    def same_rule(self, other: "Task") -> bool:
        """Whether another task has the same labels."""
        return self.label_rule() == other.label_rule()

    def describe_label(self) -> str:
        """Returns the label's rule, for model cards."""
        return self.label

    def describe_rows(self) -> str:
        """Returns which rows have a label, as "clicked is 1"; empty if all have one."""
        conditions = [f"{column} is {' or '.join(v)}" for column, v in self.where.items()]
        if self.missing == SKIP:
            conditions.append(f"{self.label} is not missing")
        return " and ".join(conditions)

    def to_plain(self) -> dict[str, Any]:
        """Returns the task as plain data, which `registry.task_from_plain` reads."""
        return {"kind": self.kind, **fields_to_plain(self)}

    @property
    def logits(self) -> int:
        """How many logits a model has for the task."""
        return 1

    @property
    def outputs(self) -> int:
        """How many numbers a prediction has."""
        return 1

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the numbers of a prediction, if there are several."""
        return ()

    def show_prediction(self, prediction: np.ndarray) -> float | str:
        """Returns a row's prediction for a table; of several numbers the largest, with its name."""
        if self.outputs == 1:
            return float(prediction)
        place = int(np.argmax(prediction))
        return f"{self.output_names[place]}: {prediction[place]:.4f}"

    def prediction_columns(self, predictions: np.ndarray) -> dict[str, np.ndarray]:
        """Returns predictions as columns [n] of a table, by name: "rating:5" if there are several.

        Args:
          predictions: [n], or [n, outputs] if a prediction has several numbers.
        """
        if self.outputs == 1:
            return {self.name: predictions}
        names = self.output_names
        return {f"{self.name}:{name}": predictions[:, i] for i, name in enumerate(names)}

    @classmethod
    @abc.abstractmethod
    def losses(
        cls, tasks: Sequence["Task"], logits: "tf.Tensor", labels: "tf.Tensor"
    ) -> "tf.Tensor":
        """Returns the loss of each task of this kind on each sample, [K, B].

        Args:
          tasks: K tasks of this kind.
          logits: [K, B]; [L, B] if tasks have several (`logits`), in the order of the tasks.
          labels: [B, K].
        """

    @classmethod
    @abc.abstractmethod
    def predictions(cls, tasks: Sequence["Task"], logits: "tf.Tensor") -> "tf.Tensor":
        """Returns the predictions [..., K, B] of tasks of this kind from logits [..., K, B].

        An increasing function of each logit. Tasks of several logits ([L, B]) or of predictions of
        several numbers ([O, B], see `outputs`) have as many rows, in the order of the tasks.
        """

    @property
    def logit_correction(self) -> float:
        """What to add to the logit of a trained model so that it predicts all rows as they are.

        Not 0 for a task whose training rows or losses are not those of all rows.
        """
        return 0.0

    def calibration(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[float | Sequence[float], float | Sequence[float]] | None:
        """Returns scale and shift of the logit that fit the labels; None: no calibration.

        Of several logits, either may be a sequence of a number for each.

        Args:
          predictions: [n], or [n, outputs] if a prediction has several numbers.
          labels: [n].
          weight: Optional [n].
        """
        del predictions, labels, weight
        return None

    def fit_knots(
        self, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
    ) -> tuple[tuple[float, float], ...]:
        """Returns the knots of a monotone map of predictions that fits the labels; see `knots`.

        Only for kinds whose `calibrations` have "isotonic".

        Args:
          predictions: [n].
          labels: [n].
          weight: Optional [n].
        """
        raise NotImplementedError(f"{type(self).__name__} defines no fit_knots.")


def conditional_name(task: Task) -> str:
    """Returns the name of the served output of a task on condition of its `given`."""
    return f"{task.name}_given_{task.given}"


def drop_unlabelled(labels: np.ndarray, *others: np.ndarray | None) -> tuple:
    """Returns labels [n] and what belongs to the same rows, without rows that have no label.

    Example:
      >>> drop_unlabelled(np.array([1.0, np.nan, 0.0]), np.array([0.9, 0.5, 0.2]), None)
      (array([1., 0.]), array([0.9, 0.2]), None)
    """
    rows = ~np.isnan(labels)
    if rows.all():
        return labels, *others
    return labels[rows], *(None if other is None else other[rows] for other in others)
