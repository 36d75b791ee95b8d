"""Training by several replicas at once, under tf.distribute: synchronous steps on a global batch.

Each step's batch is the one that a single process would train on; every replica gets a part of it,
and gradients are added. All workers read all rows, so that batches are the same with any number of
them. One worker, the chief, writes the run's state and the results. For steps that do not wait for
one another, see `coordinator`.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.training.batches import Rows, make_training_batches
from mptrec_tf.training.cluster import (
    MIRRORED,
    MULTI_WORKER,
    PARAMETER_SERVER,
    STRATEGIES,
    Cluster,
    read_cluster,
)
from mptrec_tf.training.configurations import TrainingConfig

# What a step raises where another process does not answer any more.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Epochs:
    """The epochs that are left of a training.

    Attributes:
      rows: The training rows.
      config: How long and how fast.
      first: int. The first epoch, counted from 0.
    """

    rows: Rows
    config: TrainingConfig
    first: int = 0

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.rows.steps(self.config.batch_size)

    def make_batches(self) -> tf.data.Dataset:
        """Returns the batches of all these epochs."""
        return make_training_batches(
            self.rows,
            self.config.batch_size,
            seed=self.config.seed,
            epochs=self.config.epochs,
            first_epoch=self.first,
        )


@dataclasses.dataclass(frozen=True)
class Distribution:
    """How a training is distributed.

    Attributes:
      strategy: Optional. The strategy of tf.distribute; None: one process with one replica.
      cluster: Optional. The processes, where there are several.
    """

    strategy: tf.distribute.Strategy | None = None
    cluster: Cluster | None = None

    @property
    def replicas(self) -> int:
        """How many replicas compute a step."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def is_shared(self) -> bool:
        """Whether several replicas or workers share the training."""
        return self.replicas > 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the state and the results."""
        return self.cluster is None or self.cluster.is_chief

    def scope(self) -> contextlib.AbstractContextManager:
        """Returns the scope in which the model is made and trained."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def distribute(self, make_batches: Callable[[], tf.data.Dataset]) -> Any:
        """Returns batches, given by a function, as replicas take them."""
        if self.strategy is None:
            return make_batches()
        replicas = self.replicas

        def make(context: tf.distribute.InputContext) -> tf.data.Dataset:
            here = replicas // context.num_input_pipelines
            first = context.input_pipeline_id * here
            return make_batches().flat_map(
                lambda batch: tf.data.Dataset.range(first, first + here).map(
                    lambda replica: _take_part(batch, replica, replicas)
                )
            )

        return self.strategy.distribute_datasets_from_function(make)

    def begin(self, make_model: Callable[[], TrainedModel], seed: int) -> Mapping[str, Any]:
        """Returns first values of a model's weights by name, where it has others by itself.

        Args:
          make_model: Makes the model.
          seed: With which it is made.
        """
        del make_model, seed
        return {}

    def fit(
        self,
        model: TrainedModel,
        epochs: Epochs,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains a compiled model, made in this scope."""
        model.fit(
            self.distribute(epochs.make_batches),
            epochs=epochs.config.epochs,
            initial_epoch=epochs.first,
            steps_per_epoch=epochs.steps,
            verbose=0,
            callbacks=list(callbacks),
        )

    def bring_home(
        self, model: TrainedModel, make_model: Callable[[], TrainedModel]
    ) -> TrainedModel:
        """Returns a model of this process for what comes after the training.

        Args:
          model: The trained model.
          make_model: Makes one like it.
        """
        del make_model
        return model

    def explain_rows(self, reason: str) -> str:
        """Returns why a training that needs its rows in memory, for a reason, cannot be."""
        del reason
        return ""

    def list_settings(self) -> dict[str, Any]:
        """Returns what must be equal for a run to be resumed."""
        return {}

    def check_same(self, number: int, what: str) -> None:
        """Rejects a number that other workers have another value of.

        Raises:
          InputError: saying what differs.
        """
        if self.cluster is None:
            return
        of_replicas = self.strategy.run(lambda: tf.constant(number, tf.int64))
        total = int(self.strategy.reduce(tf.distribute.ReduceOp.SUM, of_replicas, axis=None))
        if total != number * self.replicas:
            raise InputError(f"workers differ in {what}: here it is {number}.")

    @contextlib.contextmanager
    def explain_loss(self, directory: str) -> Iterator[None]:
        """Raises one sentence for what a step raises where another worker is gone.

        Raises:
          InputError: saying how to go on.
        """
        try:
            yield
        except LOST as error:
            if self.cluster is None:
                raise
            raise InputError(
                f"another of the {len(self.cluster.addresses)} workers ended or does not answer; "
                "start all of them again with the same flags, and the training goes on after the "
                f"last epoch in {directory}."
            ) from error

    @contextlib.contextmanager
    def make_scratch(self) -> Iterator[str | None]:
        """Yields a directory for what all workers have to write and one keeps; None: keep it."""
        if self.is_chief:
            yield None
            return
        with tempfile.TemporaryDirectory() as directory:
            yield directory


ONE_PROCESS = Distribution()


def start_distribution(name: str | None) -> Distribution:
    """Starts a strategy; several workers wait here for one another.

    It has to be called before TensorFlow computes anything.

    Args:
      name: A name in `cluster.STRATEGIES`; None: one process. "mirrored" has a replica on each GPU
        (or, without GPUs, on each logical device of the processor); "multi_worker" has the
        processes of TF_CONFIG; so has "parameter_server", of which this one is the coordinator.

    Raises:
      InputError: for a TF_CONFIG that is missing or wrong.
    """
    if name is None:
        return ONE_PROCESS
    if name == MIRRORED:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Distribution(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if name == MULTI_WORKER:
        cluster = read_cluster()
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), cluster)
    if name == PARAMETER_SERVER:
        from mptrec_tf.training.coordinator import start_coordinator

        return start_coordinator()
    raise ValueError(f"name should be one of {STRATEGIES}. Received: {name!r}.")


def _take_part(batch: Any, replica: tf.Tensor, replicas: int) -> dict[str, Any]:
    """Returns a replica's part of the rows of a batch; parts differ by one row at most."""

    def take(column: Any) -> Any:
        rows = column.nrows() if isinstance(column, tf.RaggedTensor) else tf.shape(column)[0]
        rows = tf.cast(rows, tf.int64)
        return column[replica * rows // replicas : (replica + 1) * rows // replicas]

    return {name: take(column) for name, column in batch.items()}
