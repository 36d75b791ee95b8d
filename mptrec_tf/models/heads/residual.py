"""A head with a small expert of its own instead of the paper's query.

    s = mean_k(h^_k) * p_n
    z = g_1 s + g_2 h^_0,                g = softmax(x^ W_g)
    r = relu(x^ A + a)                   the residual expert: what the frozen ones lack
    logit = tower([z, r, l^]) + sum over features of w[id]

x, h_0, h_1 .. h_K, the ids and the existing tasks' logits l come from the frozen model; ^ means
standardised by the model's own statistics, see `Standardized`. This head is this project's: it
extends `prompt`, the head of Bai et al., https://arxiv.org/abs/2408.17214.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import FAN_IN_UNIFORM, ExpertBank
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import TaskPrompts
from mptrec_tf.layers.stable_ops import at_least_two
from mptrec_tf.layers.statistics import IdWeights, locate_ids
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import HeadOutputs
from mptrec_tf.models.heads.fused import Gates, Towers, stack_variable, to_float64
from mptrec_tf.models.heads.kind import IdRanges
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.heads.with_tower import HeadWithTower


@keras.utils.register_keras_serializable("mptrec_tf")
class ResidualHead(HeadWithTower):
    """A new task on a frozen model, with an expert of its own.

    Args:
      config: The shape.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> layout = Layout(input_width=20, shared=1, specific=2, width=128, tasks=2, ids=5)
      >>> head = ResidualHead(ResidualConfig(expert_units=32, tower_units=(32, 16)), layout)
      >>> [weight.shape for weight in head.expert.trainable_weights]
      [TensorShape([1, 20, 32]), TensorShape([1, 1, 32])]
    """

    shape_class = ResidualConfig

    def __init__(self, config: ResidualConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.prompt = TaskPrompts(1, name="prompt")
        self.gate = GateBank(1, FAN_IN_UNIFORM, name="gate")
        self.expert = ExpertBank(
            1, (config.expert_units,), 0.0, config.l2_dense, FAN_IN_UNIFORM, name="expert"
        )
        self.tower = self.make_tower(kernel_initializer=FAN_IN_UNIFORM, input_dropout=True)
        self.prompt.build((None, None, layout.width))
        self.gate.build((None, layout.input_width))
        self.expert.build((None, self.expert_input_width))
        self.tower.build((None, None, layout.width + config.expert_units + layout.logits))
        if config.id_ranges:
            self.ids = IdWeights(config.id_ranges, self.logits, name="ids")
            self.ids.build((None, None))
        self.built = True

    @property
    def expert_input_width(self) -> int:
        """How many numbers the expert reads."""
        return self.layout.input_width

    def read_expert_input(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns what the expert reads, [B, expert_input_width]."""
        return inputs.standard.x

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs; it reports its gate, the weight of s.

        Args:
          inputs: The frozen model's values for a batch; reads ids and standardised values.
          training: Whether to drop units.
        """
        x, shared, specific, logits = inputs.standard
        gate = self.gate(x)
        fused = fuse(gate, self.prompt(specific[None]), shared)
        residual = self.expert(self.read_expert_input(inputs))
        logit = self.predict_logits(tf.concat([fused, residual, logits[None]], axis=2), training)
        if self.config.id_ranges:
            of_ids = self.ids(inputs.encoded.ids)
            logit += of_ids if self.logits == 1 else tf.transpose(of_ids)
        return HeadOutputs(logit, {"gate": gate[0, :, 0]})

    def rescale(self, scale: float | Sequence[float], shift: float | Sequence[float]) -> None:
        """Rescales the weights so that each logit becomes `scale * logit + shift`."""
        super().rescale(scale, shift)
        if self.config.id_ranges:
            scale = tf.constant(scale, tf.float32)
            self.ids.id_weights.assign(scale * self.ids.id_weights)

    def list_id_tables(self) -> dict[str, IdRanges]:
        """Returns the features whose ids have a weight, see `Head.list_id_tables`."""
        return {"ids/weights": self.config.id_ranges} if self.config.id_ranges else {}

    def split_first_kernel(self) -> list[np.ndarray]:
        """Returns the parts of the tower's first kernel for the fusion z, for r and for l^."""
        ends = np.cumsum([self.layout.width, self.config.expert_units])
        return np.split(to_float64(self.tower.kernels[0])[0], ends)


class ResidualBank(tf.Module):
    """Residual heads as one batched computation.

    All heads read the same inputs, the model's standardised values. With T, R and L for the parts
    of the tower's first kernel for z, r and l^,

        z T = g_1 (s T) + g_2 (t T),    s T = mean_k(h^_k) (p T),    t = h^_0

    so that both products are with inputs that all heads share, and the gate only scales the tower's
    units. The existing tasks' logits are part of both products, as g_1 + g_2 = 1.

    Args:
      heads: Trained heads of one shape, and of n logits each, by task, N of them. Their weights
        are copied.
      prompts: [P, H]. The model's own tasks' prompts; not used here.
    """

    def __init__(self, heads: Mapping[str, ResidualHead], prompts: np.ndarray):
        super().__init__()
        del prompts
        self.tasks = tuple(heads)
        all_heads = at_least_two(list(heads.values()))
        self._rows = len(heads) * all_heads[0].logits
        self._id_ranges = all_heads[0].config.id_ranges
        fusion, residual, logits = zip(
            *[h.split_first_kernel() for h in all_heads], strict=True
        )  # T, R, L
        prompt = [to_float64(h.prompt.prompts).T for h in all_heads]
        bias = [to_float64(h.expert.biases[0])[0] for h in all_heads]  # a
        self._gates = Gates([h.gate for h in all_heads])
        self._expert = stack_variable(to_float64(h.expert.kernels[0])[0] for h in all_heads)
        self._low = stack_variable(-a for a in bias)
        self._residual = stack_variable(residual)
        self._specific = stack_variable(
            np.concatenate([p_n * of_z, of_l])
            for p_n, of_z, of_l in zip(prompt, fusion, logits, strict=True)
        )
        self._shared = stack_variable(
            np.concatenate(both) for both in zip(fusion, logits, strict=True)
        )
        # relu(h + a) R = max(h, -a) R + a R
        left_out = [
            to_float64(h.tower.biases[0])[0] + a @ r
            for h, a, r in zip(all_heads, bias, residual, strict=True)
        ]
        self._towers = Towers([h.tower for h in all_heads], left_out)
        if self._id_ranges:
            id_weights = [to_float64(h.ids.id_weights).T for h in all_heads]
            self._ids = stack_variable(np.vstack(id_weights), axis=1)  # [V, N * n]

    def __call__(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the logits [N * n, B] of the tasks, for the model's values of a batch."""
        x, shared, specific, logits = inputs.standard
        gate = self._gates(x)[..., tf.newaxis]
        specific = tf.concat([specific, logits], axis=1)[tf.newaxis] @ self._specific
        shared = tf.concat([shared, logits], axis=1)[tf.newaxis] @ self._shared
        residual = tf.maximum(self._multiply_expert(inputs), self._low) @ self._residual
        outputs = self._towers(tf.add_n([shared, gate * (specific - shared), residual]))
        if self._id_ranges:
            outputs += self._sum_id_weights(inputs.encoded.ids)
        return outputs[: self._rows]

    def _multiply_expert(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the products [N, B, m] of the experts' inputs and kernels."""
        return inputs.standard.x[tf.newaxis] @ self._expert

    def _sum_id_weights(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the sums [N * n, B] of the weights of ids [B, F]."""
        places = locate_ids(ids, self._id_ranges)
        rows, count = tf.unstack(tf.shape(places))
        # This sum makes no copy of the weights that it adds.
        added = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=self._ids,
            indices=tf.reshape(places, [-1]),
            segment_ids=tf.repeat(tf.range(rows), count),
            num_segments=rows,
        )
        return tf.transpose(added)
