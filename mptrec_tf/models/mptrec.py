"""Stage 1: multi-task pre-training with an adversary on what is shared.

    loss = sum_k BCE(q_k, y_k) + gen_weight * sum_k BCE(g_k, y_k)
         + adversarial_weight * NLL(c, z) + L2 terms

g_k is what task k's tower says of the shared representation alone, c the discriminator's guess of
the environment z.
"""

from collections.abc import Mapping

import tensorflow as tf
import tensorflow_recommenders as tfrs

from mptrec_tf.data.packed import LABELS, ROW, WEIGHT
from mptrec_tf.keras import keras
from mptrec_tf.layers.adversary import Discriminator, assign_environments, reversal_strength
from mptrec_tf.models.backbone import Backbone
from mptrec_tf.models.configurations import BackboneConfig, PretrainingConfig


def task_losses(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Binary cross entropy of each task on each sample.

    Args:
      logits: [K, B].
      labels: [B, K], each 0 or 1.

    Returns:
      [K, B].
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.transpose(labels), logits)


def mean_over_batch(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """The mean over the last axis, weighted by `weight` [B] where it is given."""
    if weight is None:
        return tf.reduce_mean(values, axis=-1)
    total = tf.reduce_sum(values * weight, axis=-1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight))


class MPTRec(tfrs.Model):
    """A backbone in pre-training.

    Args:
      backbone: The backbone, or the configuration to make one of.
      config: Weights of the losses. Defaults to the paper's.
      training_steps: int. All planned steps, for the schedule of the gradient reversal.
      training_rows: int. With periodic assignment: how many training rows there are. Batches
        then hold `row` [B], each sample's number in [0, training_rows).
    """

    def __init__(
        self,
        backbone: Backbone | BackboneConfig,
        config: PretrainingConfig | None = None,
        *,
        training_steps: int,
        training_rows: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if training_steps < 1:
            raise ValueError(f"training_steps should be 1 or more. Received: {training_steps}.")
        self.backbone = backbone if isinstance(backbone, Backbone) else Backbone(backbone)
        self.config = config or PretrainingConfig()
        # XLA needs to know how many rows of the table a step touches.
        self.fixed_shapes = self.backbone.config.l2_embedding_over == "table"
        self.training_steps = training_steps
        self.training_rows = training_rows
        self.tasks = self.backbone.config.tasks
        count = len(self.tasks)
        self.discriminator = Discriminator(count, name="discriminator")
        self.discriminator.build((None, self.backbone.config.width))
        self.steps_done = self.add_weight(
            "steps_done", (), tf.int64, initializer="zeros", trainable=False
        )
        if self.config.assignment == "periodic" and self.config.adversarial_weight:
            if training_rows < 1:
                raise ValueError(
                    "training_rows should be given for periodic assignment. "
                    f"Received: {training_rows}."
                )
            self.environments = self.add_weight(
                "environments",
                (training_rows,),
                tf.int32,
                initializer=lambda shape, dtype: tf.random.uniform(shape, 0, count, dtype),
                trainable=False,
            )
        names = [f"{kind}/{task}" for kind in ("loss", "shared_loss") for task in self.tasks]
        if self.config.adversarial_weight:
            names += ["discriminator/loss", "discriminator/accuracy"]
            names += [f"environment/{task}" for task in self.tasks]
        self._means = {name: keras.metrics.Mean(name) for name in names}

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the probabilities [B, K]."""
        return self.backbone(features, training=training)

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, without the L2 terms, which Keras adds.

        Args:
          inputs: Packed features, `labels` [B, K], optionally `weight` [B], and `row` [B] with
            periodic assignment.
          training: Whether this is a training step.
        """
        encoded = self.backbone.encode(inputs, training)
        outputs = self.backbone.predict_tasks(encoded, training)
        weight = inputs.get(WEIGHT)
        losses = task_losses(outputs.logits, inputs[LABELS])
        mean = mean_over_batch(losses, weight)
        shared_mean = mean_over_batch(task_losses(outputs.shared_logits, inputs[LABELS]), weight)
        loss = tf.reduce_sum(mean) + self.config.gen_weight * tf.reduce_sum(shared_mean)
        for i, task in enumerate(self.tasks):
            self._means[f"loss/{task}"].update_state(mean[i])
            self._means[f"shared_loss/{task}"].update_state(shared_mean[i])
        if self.config.adversarial_weight:
            loss += self.config.adversarial_weight * self._adversarial_loss(
                encoded.shared, tf.stop_gradient(losses), inputs, weight
            )
        if training:
            self.steps_done.assign_add(1)
        return loss

    def _adversarial_loss(self, shared, losses, inputs, weight) -> tf.Tensor:
        progress = tf.minimum(tf.cast(self.steps_done, tf.float32) / self.training_steps, 1.0)
        guess = self.discriminator(shared, strength=reversal_strength(progress))
        if self.config.assignment == "online":
            environment = assign_environments(losses, self.config.normalize_losses)
        else:
            environment = tf.gather(self.environments, inputs[ROW])
        truth = tf.one_hot(environment, len(self.tasks))
        loss = mean_over_batch(-tf.reduce_sum(guess * truth, axis=1), weight)
        right = tf.equal(tf.argmax(guess, axis=1, output_type=tf.int32), environment)
        self._means["discriminator/loss"].update_state(loss)
        self._means["discriminator/accuracy"].update_state(right)
        shares = tf.reduce_mean(truth, axis=0)
        for i, task in enumerate(self.tasks):
            self._means[f"environment/{task}"].update_state(shares[i])
        return loss

    @tf.function
    def sample_losses(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns BCE(q_k, y_k) of each task on each sample, [K, B]."""
        outputs = self.backbone.predict_tasks(self.backbone.encode(inputs))
        return task_losses(outputs.logits, inputs[LABELS])

    def renew_environments(self, losses: tf.Tensor) -> None:
        """Assigns every training row's environment anew.

        Args:
          losses: [K, training_rows]. `sample_losses` of all training rows, in order of `row`.
        """
        self.environments.assign(assign_environments(losses, self.config.normalize_losses))

    @tf.function
    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what a report on validation rows needs: per-sample values of a batch.

        Returns:
          `probability` [B, K]; `gate` [B, K], the weight of the specific representation;
          `cosine` [B, K], between h_0 and each h_k.
        """
        encoded = self.backbone.encode(inputs)
        outputs = self.backbone.predict_tasks(encoded)
        cosine = tf.reduce_sum(
            tf.math.l2_normalize(encoded.specific, -1) * tf.math.l2_normalize(encoded.shared, -1),
            axis=-1,
        )
        return {
            "probability": tf.sigmoid(tf.transpose(outputs.logits)),
            "gate": tf.transpose(outputs.gates[..., 0]),
            "cosine": tf.transpose(cosine),
        }
