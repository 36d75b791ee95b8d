"""AITM: tasks that follow one another, such as click and buy, and what each tells the next.

    e_k = expert_k(x)                                  q_k of the paper
    z_1 = e_1
    p_k = g_k(z_k)                                     what task k passes on
    z_k = AIT(p_{k-1}, e_k)                            attention, see `layers.transfer`
    q_k = sigmoid(T_k(z_k))

    loss = sum_k BCE(q_k, y_k) + constraint_weight * mean of sum_{k>1} max(q_k - q_{k-1}, 0)

The last term, the behavioral expectation calibrator, is of neighbouring tasks whose predictions are
probabilities. The order is that of the tasks.

Xi et al., *Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task
Learning in Targeted Display Advertising*, KDD 2021, section 3, https://arxiv.org/abs/2105.08489.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.data.packed import WEIGHT
from mptrec_tf.data.tasks.base import PROBABILITY
from mptrec_tf.data.tasks.slices import make_slices
from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.transfer import InformationTransfer
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.task_outputs import task_predictions
from mptrec_tf.models.towers import TowerModel, make_towers
from mptrec_tf.models.trainer import Trainer, mean_over_batch
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class AITM(TowerModel):
    """Embedding, an expert and a tower for each task, and transfers from task to task.

    Heads of new tasks read x, the tasks' representations z_1 .. z_K, which are specific, and the
    tasks' logits.

    Args:
      shape: The shape; the order of its tasks is that of the transfers.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> model = AITM(ModelShape(("click", "buy"), (InputShape("categorical", 5, rows=1000),)))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "aitm"

    def __init__(self, shape: ModelShape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks = len(shape.tasks)
        self.experts = ExpertBank(
            tasks, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        # Each reads what the one before it gave, so they are no bank that computes all at once.
        self.passes = [
            ExpertBank(1, (shape.width,), shape.expert_dropout, shape.l2_dense, name=f"pass_{k}")
            for k in range(tasks - 1)
        ]
        self.transfer = InformationTransfer(name="transfer") if tasks > 1 else None
        self.towers = make_towers(shape)
        self.finish(shared=0, specific=tasks, experts=self.experts)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: z_1 .. z_K, one for each task."""
        x, ids = self.embed(features)
        first, *later = tf.unstack(self.experts(x, training=training), num=len(self.shape.tasks))
        z = [first]
        # A chain: no task can be computed before the one that it follows.
        for passes, known in zip(self.passes, later, strict=True):
            z.append(self.transfer(passes(z[-1], training=training)[0], known))
        z = tf.stack(z)
        return Encoded(x, ids, z[:0], z)

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together.

        Each brings an expert, a tower and, at the end of the chain, a transfer to it.
        """
        existing, width = len(self.shape.tasks), self.shape.width
        banks = (self.experts, self.towers)
        task = sum(count_parameters(bank.weights) for bank in banks) // existing
        passes = width * width + width
        attention = 3 * width * width if existing == 1 and new_tasks else 0
        return count_parameters(self.parameters) + new_tasks * (task + passes) + attention


class AITMTrainer(Trainer):
    """Pre-trains AITM: the tasks' losses, and the calibrator's."""

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, without the L2 terms; see `Trainer.compute_loss`."""
        outputs = self.backbone.predict_tasks(self.backbone.encode(inputs, training), training)
        mean = mean_over_batch(self.losses_of(outputs, inputs), self.weights_of(inputs))
        self.record("loss", mean)
        loss = self.sum_tasks(mean)
        later = self._later_steps()
        if later.size and self._constraint_weight:
            predictions = task_predictions(self.task_kinds, outputs.logits)
            # A task may have several numbers, so that a task's place is not its row.
            rows = np.array([of.start for of in make_slices(t.outputs for t in self.task_kinds)])
            excess = tf.gather(predictions, rows[later]) - tf.gather(predictions, rows[later - 1])
            total = tf.reduce_sum(tf.nn.relu(excess), axis=0)
            constraint = mean_over_batch(total, inputs.get(WEIGHT))
            self._means["constraint"].update_state(constraint)
            loss += self._constraint_weight * constraint
        return loss

    def mean_names(self) -> list[str]:
        """Returns the names of the means over an epoch that `compute_loss` updates."""
        has = self._later_steps().size and self._constraint_weight
        return super().mean_names() + (["constraint"] if has else [])

    @property
    def _constraint_weight(self) -> float:
        return getattr(self.loss_weights, "constraint_weight", 0.0)

    def _later_steps(self) -> np.ndarray:
        """Returns the places of tasks that, like the one before them, predict a probability."""
        is_step = np.array([task.output == PROBABILITY for task in self.task_kinds])
        return 1 + np.flatnonzero(is_step[1:] & is_step[:-1])
