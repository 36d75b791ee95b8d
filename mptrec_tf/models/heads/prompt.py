"""The paper's head of a new task: prompt, query, gate and tower.

    u   = LayerNorm(relu(x U_1) U_2)
    w   = softmax_k(u . p_k / tau)                how much each existing task helps this sample
    h_n = sum_k w_k h_k
    f_n = b[0] * (h_n * p_n) + b[1] * h_0,        b = softmax(x B_n)
    logit = T_n(f_n)

x, h_0, h_1 .. h_K and the prompts p_1 .. p_K come from the frozen model. Bai et al., *Efficient
Multi-task Prompt Tuning for Recommendation*, TOIS 2025, https://arxiv.org/abs/2408.17214.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import EPSILON, InstanceQuery, TaskPrompts
from mptrec_tf.layers.stable_ops import apply_in_whole_vectors, at_least_two, mix, sum_in_order
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import HeadOutputs
from mptrec_tf.models.heads.fused import Gates, Towers, stack_variable, to_float64
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.with_tower import HeadWithTower


@keras.utils.register_keras_serializable("mptrec_tf")
class PromptHead(HeadWithTower):
    """A new task on a frozen model, by prompt tuning.

    Args:
      config: The shape.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> from mptrec_tf.models.mptrec import MPTRec
      >>> from mptrec_tf.models.shapes import MPTRecShape
      >>> shape = MPTRecShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      >>> model = MPTRec(shape)
      >>> head = PromptHead(PromptConfig(tau=150.0), model.layout)
      >>> encoded = model.encode({"categorical": tf.zeros([3, 5], tf.int64)})
      >>> head(model.head_inputs(encoded)).logits.shape
      TensorShape([3])
    """

    shape_class = PromptConfig

    def __init__(self, config: PromptConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.prompt = TaskPrompts(1, name="prompt")
        self.gate = GateBank(1, name="gate")
        self.tower = self.make_tower()
        self.prompt.build((None, None, layout.width))
        self.gate.build((None, layout.input_width))
        self.tower.build((None, None, layout.width))
        if config.attention == "prompt":
            self.query = InstanceQuery(layout.width, name="query")
            self.query.build((None, layout.input_width))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs; it reports its gate, the weight of h_n * p_n.

        Args:
          inputs: The frozen model's values for a batch, with one shared representation.
          training: Whether to drop units.
        """
        attention = self.attention(inputs)
        mixed = tf.einsum("bk,kbh->bh", attention, inputs.encoded.specific)
        gate = self.gate(inputs.encoded.x)
        fused = fuse(gate, self.prompt(mixed[tf.newaxis]), inputs.encoded.shared[0])
        logits = self.predict_logits(fused, training)
        if self.config.kl_weight and self.trainable:
            count = tf.cast(tf.shape(inputs.prompts)[0], tf.float32)
            divergence = tf.reduce_sum(
                attention * tf.math.log(tf.maximum(attention * count, 1e-12)), axis=1
            )
            self.add_loss(self.config.kl_weight * tf.reduce_mean(divergence))
        return HeadOutputs(logits, {"gate": gate[0, :, 0]})

    def attention(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns w [B, K], how much each existing task helps; each row sums to 1."""
        x, prompts = inputs.encoded.x, inputs.prompts
        if self.config.attention == "fixed":
            scores = tf.zeros([1, tf.shape(prompts)[0]])
        elif self.config.attention == "task_similarity":
            scores = tf.matmul(self.prompt.prompts, prompts, transpose_b=True) / self.config.tau
        else:
            scores = tf.matmul(self.query(x), prompts, transpose_b=True) / self.config.tau
        weights = tf.nn.softmax(scores)
        return tf.broadcast_to(weights, [tf.shape(x)[0], tf.shape(prompts)[0]])


class PromptBank(tf.Module):
    """The paper's heads as one batched computation.

    With v = relu(x U_1), the query before its normalisation is v U_2. Its mean over the H
    dimensions is subtracted from U_2 beforehand: C = U_2 (I - 1 1^T / H). Then

        variance = |v C|^2 / H
        scores   = v C (scale * p_k) / sqrt(variance + epsilon) + shift . p_k

    The query itself is not computed: see `_make_second_product`. The gate's weight of the specific
    representation is multiplied into the weights of the existing tasks.

    Args:
      heads: Trained heads of one shape, and of n logits each, by task, N of them. Their weights
        are copied.
      prompts: [K, H]. The model's own tasks' prompts.
    """

    def __init__(self, heads: Mapping[str, PromptHead], prompts: np.ndarray):
        super().__init__()
        self.tasks = tuple(heads)
        all_heads = at_least_two(list(heads.values()))
        self._rows = len(heads) * all_heads[0].logits
        config = all_heads[0].config
        self._attention = config.attention
        self._old_tasks = len(prompts)
        p = prompts.astype(np.float64)
        self._gates = Gates([h.gate for h in all_heads])
        self._prompts = stack_variable(to_float64(h.prompt.prompts)[0] for h in all_heads)
        if config.attention == "fixed":
            shifts = [np.zeros((len(p), 1)) for _ in all_heads]
        elif config.attention == "task_similarity":
            shifts = [p @ to_float64(h.prompt.prompts).T / config.tau for h in all_heads]
        else:
            shifts = [p @ to_float64(h.query.shift)[:, None] / config.tau for h in all_heads]
            self._hidden = stack_variable(to_float64(h.query.hidden) for h in all_heads)
            products = [_make_second_product(h.query, p / config.tau) for h in all_heads]
            self._second = stack_variable(second for second, _ in products)
            self._scores = stack_variable(scores for _, scores in products)
        self._shift = stack_variable(shifts, axis=1)  # [K, N, 1]
        self._kernel = stack_variable(to_float64(h.tower.kernels[0])[0] for h in all_heads)
        self._towers = Towers(
            [h.tower for h in all_heads], [to_float64(h.tower.biases[0])[0] for h in all_heads]
        )

    def __call__(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the logits [N * n, B] of the tasks, for the model's values of a batch."""
        gate = self._gates(inputs.encoded.x)
        if self._attention == "prompt":
            scores = self._score(inputs.encoded.x)
        else:
            scores = self._shift + tf.zeros_like(gate)  # [K, N, B]
        # A softmax over the existing tasks.
        weights = apply_in_whole_vectors(tf.exp, scores - tf.reduce_max(scores, axis=0))
        weights *= gate / sum_in_order(weights, self._old_tasks)
        # [B, N, H], where products by row do most of the work.
        aware = mix(weights, inputs.encoded.specific) * self._prompts
        shared = tf.transpose(1 - gate)[..., tf.newaxis] @ inputs.encoded.shared[0][:, tf.newaxis]
        first = tf.transpose(aware + shared, [1, 0, 2]) @ self._kernel
        return self._towers(first)[: self._rows]

    def _score(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the scores [K, N, B] of the existing tasks, by each head's query."""
        v = tf.nn.relu(x[tf.newaxis] @ self._hidden)
        second = v @ self._second
        length = tf.raw_ops.EuclideanNorm(input=second, axis=2)
        plain = second[..., : self._scores.shape[1]] @ self._scores
        scale = apply_in_whole_vectors(tf.math.rsqrt, tf.square(length) + EPSILON)
        return tf.transpose(plain, [2, 0, 1]) * scale + self._shift


def _make_second_product(
    query: InstanceQuery, prompts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns factors that compute a query's length and its scores from v in one square product.

    For C^T = Q R, |v R^T| = |v C|, in fewer dimensions, and any rotation of these leaves the length
    unchanged. This one makes the scores combinations of the first dimensions.

    Args:
      query: The query.
      prompts: [K, H]. p_k / tau.

    Returns:
      [H/2, H/2], whose products' lengths are the square roots of the variances, and [at most K, K],
      which maps those products' first dimensions to the scores.
    """
    output = to_float64(query.output_kernel)
    centred = output - output.mean(axis=1, keepdims=True)
    basis, lengths = np.linalg.qr(centred.T)
    rotation, scores = np.linalg.qr(basis.T @ (to_float64(query.scale) * prompts).T, "complete")
    root = np.sqrt(output.shape[1])
    return lengths.T @ rotation / root, scores[: len(prompts)] * root
