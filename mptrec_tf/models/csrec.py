"""CSRec: Sparse-Sharing in which a contrast decides which task changes a weight that several read.

    h_k = expert(x; W * M_k),   q_k = sigmoid(T_k(h_k))            as in Sparse-Sharing
    c_k = what task k loses if a weight is taken out of its subnet
    the task's gradient of a weight is multiplied by c_k / sum over the tasks that read it

and the tasks train in turn: each batch is one update for each of them, so that the next task sees
what the one before it changed. A weight that one task alone reads is trained by it as it is.

Bai et al., *A Contrastive Sharing Model for Multi-Task Recommendation*, WWW 2022,
https://doi.org/10.1145/3485447.3512043. Its full text was not at hand: the subnets, the contrast of
a subnet with and without a weight, the larger say of the task that the weight matters more to, and
the turns are those of its abstract. Chosen here: c_k is |w dL_k/dw|, the first-order change of the
loss when the weight becomes 0 (Molchanov et al., *Importance Estimation for Neural Network
Pruning*, CVPR 2019, eq. 8), averaged over batches; turns are batch by batch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.keras import keras
from mptrec_tf.models.shapes import CSRecLosses
from mptrec_tf.models.sparse_sharing import SparseSharing
from mptrec_tf.models.trainer import Plan, Trainer, mean_over_batch

_DECAY = 0.9  # of the average of the contrasts over batches


@keras.utils.register_keras_serializable("mptrec_tf")
class CSRec(SparseSharing):
    """Sparse-Sharing's network; its training is `CSRecTrainer`'s.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> from mptrec_tf.models.shapes import ModelShape
      >>> model = CSRec(ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),)))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "csrec"


class CSRecTrainer(Trainer):
    """Pre-trains CSRec: the tasks in turn, and shared weights by contrast.

    Args:
      model: The model.
      tasks: Its tasks, in the order of its shape.
      losses: Weights of the losses.
      plan: The planned length of the training.
    """

    def __init__(
        self,
        model: CSRec,
        tasks: Sequence[Task],
        losses: CSRecLosses | None = None,
        plan: Plan | None = None,
        **kwargs: Any,
    ):
        super().__init__(model, tasks, losses, plan, **kwargs)
        self.updates_per_step = len(self.tasks)
        self.contrasts = [
            self.add_weight(f"contrast_{i}", mask.shape, initializer="zeros", trainable=False)
            for i, mask in enumerate(model.experts.masks)
        ]

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains each task in turn on a batch; returns the logs."""
        losses, regularization = [], tf.zeros([])
        for task in range(len(self.tasks)):
            loss, regularization = self._train_task(task, inputs)
            losses.append(loss)
        self.record("loss", tf.stack(losses))
        logs = {metric.name: metric.result() for metric in self.metrics}
        total = tf.add_n(losses)
        return logs | {
            "loss": total,
            "regularization_loss": regularization,
            "total_loss": total + regularization,
        }

    def _train_task(self, task: int, inputs: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        """Updates the weights for a task; returns its loss and that of the L2 terms."""
        weights, kernels = self.trainable_variables, self.backbone.experts.kernels
        with tf.GradientTape(persistent=True) as tape:
            outputs = self.backbone.predict_tasks(self.backbone.encode(inputs, True), True)
            means = mean_over_batch(self.losses_of(outputs, inputs), self.weights_of(inputs))
            of_task = self.sum_tasks(means * tf.one_hot(task, len(self.tasks)))
            regularization = tf.add_n([tf.zeros([]), *self.losses])
            # Every task's turn has its part of the L2 terms, so that a batch has them once.
            objective = of_task + regularization / len(self.tasks)
        gradients = tape.gradient(objective, weights)
        own = tape.gradient(of_task, kernels, unconnected_gradients="zero")
        place = {id(weight): at for at, weight in enumerate(weights)}
        for layer, (kernel, gradient) in enumerate(zip(kernels, own, strict=True)):
            share = self._contrast(layer, task, kernel, gradient)
            at = place[id(kernel)]
            gradients[at] = tf.convert_to_tensor(gradients[at]) - (1 - share) * gradient
        self.optimizer.apply_gradients(
            (gradient, weight)
            for gradient, weight in zip(gradients, weights, strict=True)
            if gradient is not None
        )
        return means[task], regularization

    def _contrast(
        self, layer: int, task: int, kernel: tf.Variable, gradient: tf.Tensor
    ) -> tf.Tensor:
        """Returns the say [1, in, out] that a task has in each weight of a layer.

        It is 1 for weights that no other task reads.

        Args:
          layer: The layer.
          task: The task.
          kernel: [1, in, out].
          gradient: [1, in, out]. The gradient of the task's loss.
        """
        mask, contrast = self.backbone.experts.masks[layer], self.contrasts[layer]
        now = tf.abs(kernel * gradient)[0]
        of_task = tf.one_hot(task, len(self.tasks))[:, tf.newaxis, tf.newaxis]
        moved = contrast + (1 - _DECAY) * of_task * (now - contrast)
        contrast.assign(moved)
        return share_by_contrast(moved, mask)[task][tf.newaxis]


def share_by_contrast(contrasts: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Returns each task's say in each weight, [K, in, out]; those of a weight's tasks sum to 1.

    Args:
      contrasts: [K, in, out]. What a task loses without the weight.
      masks: [K, in, out] of 0 and 1. Which tasks read it.
    """
    read = contrasts * masks
    total, readers = tf.reduce_sum(read, axis=0), tf.reduce_sum(masks, axis=0)
    equal = tf.math.divide_no_nan(masks, readers)
    return tf.where(total > 0, tf.math.divide_no_nan(read, total), equal)
