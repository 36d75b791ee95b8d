"""Stage 2: a frozen backbone and any number of new tasks, each by a head of its own."""

from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_recommenders as tfrs

from mptrec_tf.data.packed import CATEGORICAL, LABELS, WEIGHT
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.backbone import Backbone, Encoded, fixed_weights
from mptrec_tf.models.head_kinds import AnyConfig, AnyHead, make_head
from mptrec_tf.models.heads import HeadConfig
from mptrec_tf.models.mptrec import mean_over_batch

REPRESENTATIONS = "representations"
OLD_LOGITS = "old_logits"


class PromptedMPTRec(tfrs.Model):
    """A frozen backbone and the heads of new tasks, which know nothing of one another.

    Making one freezes the backbone: `backbone.trainable` is the toggle.

    Args:
      backbone: A pre-trained backbone.
      heads: Heads by task name, to begin with. Defaults to none; see `add_task`.
    """

    fixed_shapes = True  # as far as XLA needs to know them

    def __init__(self, backbone: Backbone, heads: Mapping[str, AnyHead] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.backbone.trainable = False
        self.heads: dict[str, AnyHead] = {}
        self._means: dict[str, keras.metrics.Mean] = {}
        for name, head in (heads or {}).items():
            self.attach(name, head)

    @property
    def new_tasks(self) -> tuple[str, ...]:
        """Names of the new tasks."""
        return tuple(self.heads)

    def add_task(self, name: str, config: AnyConfig | None = None) -> AnyHead:
        """Adds a new task with fresh weights and returns its head.

        The model has to be compiled anew before the next `fit`: an optimizer knows the weights
        that it began with.

        Raises:
          InputError: if there is a task of this name already.
        """
        head = make_head(config or HeadConfig(), self.backbone.config, name)
        self.attach(name, head)
        return head

    def remove_task(self, name: str) -> None:
        """Removes a new task; every other task answers as before.

        Raises:
          InputError: if no new task has this name.
        """
        if name not in self.heads:
            raise InputError(f"no new task {name!r} to remove; there are {list(self.heads)}.")
        self.heads = {k: head for k, head in self.heads.items() if k != name}
        self._means = {k: mean for k, mean in self._means.items() if k != f"loss/{name}"}
        self._forget_traces()

    def attach(self, name: str, head: AnyHead) -> None:
        """Adds a new task whose head is there already.

        Raises:
          InputError: if there is a task of this name already.
        """
        if name in self.heads or name in self.backbone.config.tasks:
            raise InputError(f"task {name!r} is there already; remove it first or rename this one.")
        self.heads = {**self.heads, name: head}
        self._means = {**self._means, f"loss/{name}": keras.metrics.Mean(f"loss/{name}")}
        self._forget_traces()

    def _forget_traces(self) -> None:
        # Keras would go on with the functions that it traced for the heads of before.
        self.train_function = self.test_function = self.predict_function = None

    @property
    def losses(self) -> list[tf.Tensor]:
        """The L2 and KL terms of the heads.

        Not the backbone's: a frozen layer that a step does not call still holds its loss from the
        time when it was trained.
        """
        return [loss for head in self.heads.values() for loss in head.losses]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean loss of every new task; Keras would keep those of tasks that were removed."""
        return list(self._means.values())

    def unpack(self, representations: tf.Tensor) -> Encoded:
        """Takes apart what `pack` put together: [B, D + H + K * H]."""
        shape = self.backbone.config
        count = len(shape.tasks)
        x, h = tf.split(representations, [shape.input_width, (1 + count) * shape.width], axis=1)
        h = tf.transpose(tf.reshape(h, [-1, 1 + count, shape.width]), [1, 0, 2])
        return Encoded(x, h[0], h[1:])

    @tf.function
    def pack(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Encodes packed features and returns x, h_0, h_1 .. h_K side by side."""
        return self._side_by_side(self.backbone.encode(features))

    def _side_by_side(self, encoded: Encoded) -> tf.Tensor:
        specific = tf.unstack(encoded.specific, num=len(self.backbone.config.tasks))
        return tf.concat([encoded.x, encoded.shared, *specific], axis=1)

    @tf.function(reduce_retracing=True)
    def encode_once(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns all that heads read of packed features, as `encode` takes it.

        Returns:
          `representations` [B, D + H + K * H], `old_logits` [B, K], and the ids [B, F] if any.
        """
        encoded = self.backbone.with_logits(self.backbone.encode(features))
        ids = {} if encoded.ids is None else {CATEGORICAL: encoded.ids}
        packed = self._side_by_side(encoded)
        return {REPRESENTATIONS: packed, OLD_LOGITS: tf.transpose(encoded.logits), **ids}

    def encode(self, inputs: Mapping[str, tf.Tensor]) -> Encoded:
        """Returns representations: those that `inputs` holds already, or of its features."""
        if REPRESENTATIONS not in inputs:
            return self.backbone.complete(self.backbone.encode(inputs))
        encoded = self.unpack(inputs[REPRESENTATIONS])._replace(ids=inputs.get(CATEGORICAL))
        if OLD_LOGITS in inputs:
            encoded = encoded._replace(logits=tf.transpose(inputs[OLD_LOGITS]))
        return self.backbone.complete(encoded)

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Returns the probabilities [B] of the new tasks by name."""
        encoded = self.encode(inputs)
        prompts = self.backbone.prompts.prompts
        return {
            name: tf.sigmoid(head(encoded, prompts, training=training).logits)
            for name, head in self.heads.items()
        }

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the sum of the new tasks' losses, without the L2 and KL terms.

        Args:
          inputs: `representations` (or packed features), `labels` [B, N] with a column for each
            new task in order, optionally `weight` [B].
          training: Whether this is a training step.
        """
        encoded = self.encode(inputs)
        prompts = self.backbone.prompts.prompts
        total = tf.constant(0.0)
        for column, (name, head) in enumerate(self.heads.items()):
            logits = head(encoded, prompts, training=training).logits
            losses = tf.nn.sigmoid_cross_entropy_with_logits(inputs[LABELS][:, column], logits)
            loss = mean_over_batch(losses, inputs.get(WEIGHT))
            self._means[f"loss/{name}"].update_state(loss)
            total += loss
        return total

    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns per-sample values of a batch: `probability`, `gate` and the attention.

        Returns:
          `probability` [B, N] and `gate` [B, N] (the weight of the specific representation) of
          the new tasks.
        """
        return self._report(inputs, tuple(self.heads.values()))

    @tf.function
    def _report(self, inputs, heads: tuple[AnyHead, ...]) -> dict[str, tf.Tensor]:
        # The heads are an argument so that other heads are traced anew.
        encoded = self.encode(inputs)
        outputs = [head(encoded, self.backbone.prompts.prompts) for head in heads]
        return {
            "probability": tf.stack([tf.sigmoid(o.logits) for o in outputs], axis=1),
            "gate": tf.stack([o.gate[:, 0] for o in outputs], axis=1),
        }


def count(weights: Sequence[tf.Variable]) -> int:
    """How many numbers some variables hold."""
    return sum(int(tf.size(w)) for w in weights)


def trainable_parameters(model: keras.Model) -> str:
    """Prints and returns what trains, in one line: trainable, all, and the share.

    Metrics, step counters, environments and statistics are state, not parameters.
    """
    state = {id(v) for metric in model.metrics for v in metric.variables}
    state |= {id(v) for v in fixed_weights(model)}
    parameters = [w for w in model.weights if w.dtype.is_floating and id(w) not in state]
    trainable, everything = count(model.trainable_weights), count(parameters)
    share = 100 * trainable / max(everything, 1)
    line = (
        f"trainable params: {trainable:,} || all params: {everything:,} || trainable%: {share:.2f}"
    )
    print(line)
    return line


def joint_training_parameters(backbone: Backbone, new_tasks: int = 1) -> int:
    """How many parameters stage 1 would train on the existing and `new_tasks` more tasks.

    The measure that a new task's parameters are compared with: embeddings, experts, prompts,
    gates, towers and discriminator.
    """
    existing = len(backbone.config.tasks)
    tasks = existing + new_tasks
    expert = count(backbone.experts.weights) // (1 + existing)
    banks = (backbone.prompts, backbone.gates, backbone.towers)
    task = sum(count(bank.weights) for bank in banks) // existing
    banked = {id(w) for bank in (backbone.experts, *banks) for w in bank.weights}
    embeddings = count([w for w in backbone.parameters if id(w) not in banked])
    discriminator = (backbone.config.width + 1) * tasks
    return embeddings + (1 + tasks) * expert + tasks * task + discriminator
