"""MPT-Rec's stage 1: shared and specific experts, and an adversary on the shared representation.

    h_0, h_1 .. h_K = experts(x)          shared and specific representations
    s_k = h_k * p_k                       task-aware (task prompts)
    f_k = a_k[0] s_k + a_k[1] h_0         fused (gates)
    q_k = sigmoid(T_k(f_k))               prediction of task k (towers)

    loss = sum_k BCE(q_k, y_k) + gen_weight * sum_k BCE(g_k, y_k)
         + adversarial_weight * NLL(c, z) + L2 terms

g_k = sigmoid(T_k(h_0)) is the prediction of task k's tower from the shared representation alone, c
the discriminator's prediction of the environment z. Bai et al., *Efficient Multi-task Prompt Tuning
for Recommendation*, TOIS 2025, https://arxiv.org/abs/2408.17214; the symbols are the paper's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mptrec_tf.data.packed import LABELS, ROW, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.keras import keras
from mptrec_tf.layers.adversary import Discriminator, assign_environments, reversal_strength
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import TaskPrompts
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.shapes import MPTRecLosses, MPTRecShape
from mptrec_tf.models.task_outputs import task_losses
from mptrec_tf.models.towers import make_towers
from mptrec_tf.models.trainer import Plan, Trainer, mean_over_batch
from mptrec_tf.models.weights import count_parameters


class TaskOutputs(NamedTuple):
    """The outputs of the pre-trained tasks for a batch.

    Attributes:
      logits: [L, B]. Logits of q_k, the predictions.
      shared_logits: [L, B]. Logits of g_k, each tower on h_0 alone.
      gates: [K, B, 2]. Weights of (specific, shared).
    """

    logits: tf.Tensor
    shared_logits: tf.Tensor
    gates: tf.Tensor


@keras.utils.register_keras_serializable("mptrec_tf")
class MPTRec(MultiTaskModel):
    """Embedding, experts, and prompts, gates and towers of the pre-trained tasks.

    Heads of new tasks read x, the shared representation h_0, the specific ones h_1 .. h_K, the
    prompts, and the tasks' logits.

    Args:
      shape: The shape.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> shape = MPTRecShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      >>> model = MPTRec(shape)
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "mptrec"
    shape_type = MPTRecShape

    def __init__(self, shape: MPTRecShape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks = len(shape.tasks)
        self.experts = ExpertBank(
            1 + tasks, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        self.prompts = TaskPrompts(tasks, name="prompts")
        self.gates = GateBank(tasks, name="gates")
        self.towers = make_towers(shape)
        self.finish(shared=1, specific=tasks, experts=self.experts)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_0 shared, h_1 .. h_K specific."""
        x, ids = self.embed(features)
        h = self.experts(x, training=training)
        return Encoded(x, ids, h[:1], h[1:])

    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> TaskOutputs:
        """Returns the pre-trained tasks' outputs for the representations."""
        gates = self.gates(encoded.x)
        fused, shared = self._fuse(encoded, gates), self._repeat_shared(encoded)
        # One product computes both predictions of a tower.
        logits, shared_logits = tf.split(
            self.towers(tf.concat([fused, shared], axis=1), training=training), 2, axis=1
        )
        return TaskOutputs(logits, shared_logits, gates)

    def predict_logits(self, encoded: Encoded) -> tf.Tensor:
        """Returns the logits [L, B] of q_k, without those of g_k, which training alone needs."""
        return self.towers(self._fuse(encoded, self.gates(encoded.x)))

    def _fuse(self, encoded: Encoded, gates: tf.Tensor) -> tf.Tensor:
        """Returns the fused representations f_k [K, B, H]."""
        aware = self.prompts(encoded.specific)  # builds them for every kind of fusion
        if self.shape.fusion == "share_only":
            return self._repeat_shared(encoded)
        if self.shape.fusion == "specific_only":
            return aware
        return fuse(gates, aware, encoded.shared[0])

    @staticmethod
    def _repeat_shared(encoded: Encoded) -> tf.Tensor:
        """Returns h_0 for each task, [K, B, H]."""
        return tf.broadcast_to(encoded.shared, tf.shape(encoded.specific))

    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Rescales the towers so that each task's logit becomes `scale * logit + shift`."""
        self.towers.rescale(scale, shift)

    def prompts_of_tasks(self) -> tf.Tensor:
        """Returns the prompts [K, H]."""
        return tf.convert_to_tensor(self.prompts.prompts)

    def report(self, encoded: Encoded, outputs: TaskOutputs) -> dict[str, tf.Tensor]:
        """Returns values that show whether the gates and the adversary work.

        Returns:
          `gate` [B, K], the weight of the specific representation; `cosine` [B, K], between h_0
          and each h_k.
        """
        cosine = tf.reduce_sum(
            tf.math.l2_normalize(encoded.specific, -1) * tf.math.l2_normalize(encoded.shared, -1),
            axis=-1,
        )
        return {"gate": tf.transpose(outputs.gates[..., 0]), "cosine": tf.transpose(cosine)}

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters stage 1 would train on the tasks and `new_tasks` more.

        Embeddings, experts, prompts, gates, towers and discriminator.
        """
        existing = len(self.shape.tasks)
        tasks = existing + new_tasks
        expert = count_parameters(self.experts.weights) // (1 + existing)
        banks = (self.prompts, self.gates, self.towers)
        task = sum(count_parameters(bank.weights) for bank in banks) // existing
        embeddings = self.count_other_parameters((self.experts, *banks))
        discriminator = (self.shape.width + 1) * tasks
        return embeddings + (1 + tasks) * expert + tasks * task + discriminator


class MPTRecTrainer(Trainer):
    """Pre-trains MPT-Rec: the tasks' losses, and the adversary's.

    With periodic assignment batches hold `row` [B], each sample's number below `plan.rows`.

    Args:
      model: The model.
      tasks: Its tasks, in the order of its shape.
      losses: Weights of the losses. Defaults to the paper's.
      plan: The planned length of the training, which sets the schedule of the gradient reversal.
    """

    def __init__(
        self,
        model: MPTRec,
        tasks: Sequence[Task],
        losses: MPTRecLosses | None = None,
        plan: Plan | None = None,
        **kwargs,
    ):
        super().__init__(model, tasks, losses or MPTRecLosses(), plan, **kwargs)
        if plan is None and self.loss_weights.adversarial_weight:
            raise ValueError("plan should be given where there is an adversary. Received: None.")
        count = len(self.tasks)
        self.discriminator = Discriminator(count, name="discriminator")
        self.discriminator.build((None, model.shape.width))
        self.steps_done = self.add_weight(
            "steps_done",
            (),
            tf.int64,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,  # all count the same
        )
        if self._is_periodic(self.loss_weights):
            self.environments = self.add_weight(
                "environments",
                (plan.rows,),
                tf.int32,
                initializer=lambda shape, dtype: tf.random.uniform(shape, 0, count, dtype),
                trainable=False,
            )

    @staticmethod
    def _is_periodic(losses: MPTRecLosses) -> bool:
        return losses.assignment == "periodic" and losses.adversarial_weight > 0

    @classmethod
    def explain_rows_in_memory(cls, losses: MPTRecLosses) -> str:
        """Explains why these losses need the rows in memory; empty if they do not."""
        if not cls._is_periodic(losses):
            return ""
        return "periodic assignment stores an environment for each; use --assignment=online"

    def mean_names(self) -> list[str]:
        """Returns the names of the means over an epoch that `compute_loss` updates."""
        names = [f"{kind}/{task}" for kind in ("loss", "shared_loss") for task in self.tasks]
        if self.loss_weights.adversarial_weight:
            names += ["discriminator/loss", "discriminator/accuracy"]
            names += [f"environment/{task}" for task in self.tasks]
        return names

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, without the L2 terms, which Keras adds.

        Args:
          inputs: Packed features, `labels` [B, K], optionally `weight` [B], and `row` [B] with
            periodic assignment.
          training: Whether this is a training step.
        """
        encoded = self.backbone.encode(inputs, training)
        outputs = self.backbone.predict_tasks(encoded, training)
        weight = self.weights_of(inputs)
        losses = self.losses_of(outputs, inputs)
        mean = mean_over_batch(losses, weight)
        shared_losses = task_losses(self.task_kinds, outputs.shared_logits, inputs[LABELS])
        shared_mean = mean_over_batch(shared_losses, weight)
        loss = self.sum_tasks(mean) + self.sum_tasks(shared_mean, self.loss_weights.gen_weight)
        self.record("loss", mean)
        self.record("shared_loss", shared_mean)
        if self.loss_weights.adversarial_weight:
            loss += self.loss_weights.adversarial_weight * self._adversarial_loss(
                encoded.shared[0], tf.stop_gradient(losses), inputs
            )
        if training:
            self.steps_done.assign_add(1)
        return loss

    def _adversarial_loss(self, shared, losses, inputs) -> tf.Tensor:
        progress = tf.minimum(tf.cast(self.steps_done, tf.float32) / self.plan.steps, 1.0)
        log_probabilities = self.discriminator(shared, strength=reversal_strength(progress))
        if self.loss_weights.assignment == "online":
            environment = self._assign(losses, inputs[LABELS])
        else:
            environment = tf.gather(self.environments, inputs[ROW])
        truth = tf.one_hot(environment, len(self.tasks))
        weight = inputs.get(WEIGHT)
        # A row is in no environment of a task that it has no label of.
        if self._is_partial or TASK_WEIGHTS in inputs:
            by_task = tf.transpose(self.weights_of(inputs))
            weight = tf.gather(by_task, environment, batch_dims=1)
        loss = mean_over_batch(-tf.reduce_sum(log_probabilities * truth, axis=1), weight)
        predicted = tf.argmax(log_probabilities, axis=1, output_type=tf.int32)
        self._means["discriminator/loss"].update_state(loss)
        self._means["discriminator/accuracy"].update_state(tf.equal(predicted, environment))
        self.record("environment", mean_over_batch(tf.transpose(truth), None))
        return loss

    @tf.function(autograph=False)
    def sample_losses(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the loss of each prediction q_k on each sample, [K, B]."""
        outputs = self.backbone.predict_tasks(self.backbone.encode(inputs))
        losses = self.losses_of(outputs, inputs)
        if self._is_partial:
            losses = tf.where(tf.math.is_nan(tf.transpose(inputs[LABELS])), np.inf, losses)
        return losses

    def _assign(self, losses: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Returns the environments [B] for losses [K, B] and labels [B, K]."""
        if self._is_partial:
            losses = tf.where(tf.math.is_nan(tf.transpose(labels)), np.inf, losses)
        return assign_environments(losses, self.loss_weights.normalize_losses, self._is_partial)

    @property
    def _is_partial(self) -> bool:
        return any(task.is_partial for task in self.task_kinds)

    def end_epoch(
        self, epoch: int, batches: Callable[[], Iterable[Mapping[str, tf.Tensor]]]
    ) -> None:
        """Updates the environments of all training rows every `cluster_every` epochs.

        Args:
          epoch: Its number, counted from 0.
          batches: Function that returns all training rows in their stored order.
        """
        super().end_epoch(epoch, batches)
        losses = self.loss_weights
        if self._is_periodic(losses) and (epoch + 1) % losses.cluster_every == 0:
            self.update_environments(tf.concat([self.sample_losses(b) for b in batches()], axis=1))

    def update_environments(self, losses: tf.Tensor) -> None:
        """Updates every training row's environment.

        Args:
          losses: [K, rows]. `sample_losses` of all training rows, in order of `row`; infinite
            where a row has no label for a task.
        """
        self.environments.assign(
            assign_environments(losses, self.loss_weights.normalize_losses, self._is_partial)
        )
