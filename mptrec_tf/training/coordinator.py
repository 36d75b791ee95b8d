"""Training by workers that do not wait for one another, with the weights on parameter servers.

The coordinator gives every file of training rows, once in each epoch, to a worker that is free,
some files at a time. The worker reads them and trains on their batches: it reads weights from the
servers, and sends its updates there. So files of a worker that is gone are read by another one, and
a slow worker gets fewer files. Between epochs nobody trains: the coordinator validates, and saves
the state.

Li et al., *Scaling Distributed Machine Learning with the Parameter Server*, OSDI 2014; here it is
tf.distribute's ParameterServerStrategy.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.layers.partitions import is_partitioned
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.training.batches import Rows, make_file_batches
from mptrec_tf.training.callbacks import ProgressBar
from mptrec_tf.training.cluster import ServerCluster, read_server_cluster
from mptrec_tf.training.distribution import LOST, Distribution, Epochs
from mptrec_tf.training.servers import (
    WatchWorkers,
    allow_failures,
    note,
    wait_until_all_answer,
)

# A table of less than two such parts is whole: to ask two servers takes longer than to ask one.
LEAST_PART_BYTES = 64 << 10
# Parts of an epoch for each worker. To begin one costs a worker two seconds, and some memory that
# TensorFlow never frees (7 MB for a small model); to lose a worker costs the part that it had.
PARTS_OF_WORKER = 4
_TOTALS = ("loss", "regularization_loss", "total_loss")
_POLL_SECONDS = 0.2
# A parameter server that was started again answers, and knows no variables.
_FORGOTTEN = (tf.errors.NotFoundError, tf.errors.FailedPreconditionError)


@dataclasses.dataclass(frozen=True)
class Coordinator(Distribution):
    """How the coordinator of workers and parameter servers trains; see `Distribution`.

    `cluster` is a `ServerCluster`. Each worker computes its steps alone, on batches of its own.
    """

    @property
    def replicas(self) -> int:
        """How many replicas compute a step."""
        return 1

    @property
    def is_shared(self) -> bool:
        """Whether several replicas or workers share the training."""
        return True

    def explain_rows(self, reason: str) -> str:
        """Returns why a training that needs its rows in memory, for a reason, cannot be."""
        return reason and f"workers read rows from files, and {reason}."

    def list_settings(self) -> dict[str, Any]:
        """Returns what must be equal for a run to be resumed."""
        return {"strategy": "parameter_server"}

    def check_same(self, number: int, what: str) -> None:
        """Accepts any number: other processes have none of their own."""

    def check_rows(self, rows: Rows) -> None:
        """Says so where workers will have nothing to do.

        Raises:
          InputError: for rows that are not in files, which is all that workers can read.
        """
        if rows.read_files is None:
            raise InputError("workers read rows from files, and these rows are in memory alone.")
        files, workers = len(rows.files), len(self.cluster.workers)
        if files < workers:
            note(
                f"the training rows are in {files} {'file' if files == 1 else 'files'} and there "
                f"are {workers} workers, each of which reads a whole file at a time: "
                f"{workers - files} will have nothing to do; prepare the data with "
                f"--shards={4 * workers} or more."
            )

    def begin(self, make_model: Callable[[], TrainedModel], seed: int) -> Mapping[str, Any]:
        """Returns first values of a model's weights by name, which are those of one process.

        Keras draws the parts of a partitioned table one by one, which are other values.

        Args:
          make_model: Makes the model.
          seed: With which it is made.
        """
        keras.utils.set_random_seed(seed)
        values = {k: w.numpy() for k, w in make_model().backbone.named_weights().items()}
        keras.utils.set_random_seed(seed)
        return values

    def fit(
        self,
        model: TrainedModel,
        epochs: Epochs,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Trains a compiled model, made in this scope."""
        self.check_rows(epochs.rows)
        _check_tables(model)
        coordinator = tf.distribute.coordinator.ClusterCoordinator(self.strategy)
        totals = [keras.metrics.Mean(name) for name in _TOTALS]
        train = _make_part_step(model, epochs, self.strategy, totals)
        bars = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
        model.stop_training = False
        for callback in callbacks:
            callback.set_params({"epochs": epochs.config.epochs, "steps": epochs.steps})
            callback.set_model(model)
            callback.on_train_begin()
        with WatchWorkers(self.cluster.workers):
            for epoch in range(epochs.first, epochs.config.epochs):
                for metric in (*model.metrics, *totals):
                    metric.reset_state()
                for callback in callbacks:
                    callback.on_epoch_begin(epoch)
                begin = int(model.optimizer.iterations)
                for number, files in enumerate(self._deal_files(epochs, epoch)):
                    place = tf.constant(epoch + number * 2**16, tf.int64)
                    coordinator.schedule(train, (tf.constant(files), place))
                while not coordinator.done():
                    for bar in bars:
                        steps = (int(model.optimizer.iterations) - begin) // model.updates_per_step
                        bar.on_train_batch_end(min(steps, epochs.steps) - 1)
                    time.sleep(_POLL_SECONDS)
                coordinator.join()
                logs = {of.name: float(of.result()) for of in (*model.metrics, *totals)}
                for callback in callbacks:
                    callback.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
        for callback in callbacks:
            callback.on_train_end()

    def _deal_files(self, epochs: Epochs, epoch: int) -> list[np.ndarray]:
        """Returns the numbers of the files in each part of an epoch."""
        count = len(epochs.rows.files)
        order = np.random.default_rng((epochs.config.seed, epoch)).permutation(count)
        parts = min(count, PARTS_OF_WORKER * len(self.cluster.workers))
        return np.array_split(order.astype(np.int64), parts)

    def bring_home(
        self, model: TrainedModel, make_model: Callable[[], TrainedModel]
    ) -> TrainedModel:
        """Returns a new model of this process, whose weights are to be set."""
        del model
        return make_model()

    @contextlib.contextmanager
    def explain_loss(self, directory: str) -> Iterator[None]:
        """Raises one sentence for what is raised where a parameter server is gone.

        Raises:
          InputError: saying how to go on.
        """
        try:
            yield
        except (*LOST, *_FORGOTTEN) as error:
            raise InputError(
                f"one of the {len(self.cluster.servers)} parameter servers, which hold the "
                "weights, ended or does not answer; start all processes again with the same "
                f"flags, and the training goes on after the last epoch in {directory}."
            ) from error


def start_coordinator() -> Coordinator:
    """Starts the coordinator, which waits until all workers and servers answer.

    Raises:
      InputError: for a TF_CONFIG that is missing or wrong, or workers with several GPUs.
    """
    cluster = read_server_cluster()
    allow_failures()
    wait_until_all_answer(cluster)
    strategy = tf.distribute.experimental.ParameterServerStrategy(
        tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(cluster.to_spec()),
            task_type=cluster.role,
            task_id=cluster.index,
            rpc_layer="grpc",
        ),
        variable_partitioner=_make_partitioner(cluster),
    )
    if strategy.num_replicas_in_sync > 1:
        raise InputError(
            f"each worker has {strategy.num_replicas_in_sync} GPUs; give it one, by "
            "CUDA_VISIBLE_DEVICES, and start a worker for each."
        )
    return Coordinator(strategy, cluster)


def _make_partitioner(cluster: ServerCluster) -> Callable[..., Sequence[int]]:
    """Returns a partitioner that leaves all weights whole but large tables."""
    split = tf.distribute.experimental.partitioners.MinSizePartitioner(
        LEAST_PART_BYTES, max_shards=len(cluster.servers)
    )

    def partition(shape: tf.TensorShape, dtype: tf.DType) -> Sequence[int]:
        return split(shape, dtype) if shape.rank == 2 else [1] * shape.rank

    return partition


def _check_tables(model: TrainedModel) -> None:
    """Rejects a partitioned table that every step would read as a whole."""
    shape = model.backbone.shape
    if shape.l2_embedding_over == "batch":
        return
    for name, weight in model.backbone.named_weights().items():
        if is_partitioned(weight):
            raise InputError(
                f"{name} of {weight.shape[0]} rows is partitioned over the parameter servers, and "
                "--l2_embedding_over=table reads and changes all of it in every step; give "
                "--l2_embedding_over=batch."
            )


def _make_part_step(
    model: TrainedModel,
    epochs: Epochs,
    strategy: tf.distribute.Strategy,
    totals: Sequence[keras.metrics.Metric],
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a function of files' numbers and a part's place, which a worker computes."""
    files = tf.constant(list(epochs.rows.files))
    seed = tf.constant(epochs.config.seed, tf.int64)
    size = epochs.config.batch_size

    @tf.autograph.experimental.do_not_convert
    def step(batch: dict[str, Any]) -> None:
        logs = model.train_step(batch)
        for total in totals:
            total.update_state(logs[total.name])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)])
    def train(numbers, place):
        batches = make_file_batches(
            epochs.rows, tf.gather(files, numbers), size, tf.stack([seed, place])
        )
        for batch in batches:
            strategy.run(step, args=(batch,))

    return train
