"""A residual head whose expert also reads embeddings of the task's own.

    r = relu([x^, e_n(ids)] A + a)             e_n: a small table of the task's own

and all else as in `residual`. The frozen embedding of a feature with many ids holds what the old
tasks needed, and nothing of ids that they saw rarely, or not at all where ids are hashed. So this
head learns a table for the features of many ids, as every task of STEM has one beside the shared
one: Su et al., *STEM: Unleashing the Power of Embeddings for Multi-task Recommendation*, AAAI 2024,
https://arxiv.org/abs/2308.13537.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.embedding import PackedEmbedding
from mptrec_tf.layers.stable_ops import at_least_two
from mptrec_tf.layers.statistics import locate_ids
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.fused import stack_variable, to_float64
from mptrec_tf.models.heads.kind import IdRanges
from mptrec_tf.models.heads.own_embedding_shape import OwnEmbeddingConfig
from mptrec_tf.models.heads.residual import ResidualBank, ResidualHead


@keras.utils.register_keras_serializable("mptrec_tf")
class OwnEmbeddingHead(ResidualHead):
    """A new task on a frozen model, with an expert and embeddings of its own.

    Args:
      config: The shape. Without features in `table_ranges` this is a `ResidualHead`.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> layout = Layout(input_width=20, shared=1, specific=2, width=128, tasks=2, ids=5)
      >>> config = OwnEmbeddingConfig(table_ranges=((0, 0, 50), (3, 60, 1000)))
      >>> head = OwnEmbeddingHead(config, layout)
      >>> head.own.table.shape, head.expert.kernels[0].shape
      (TensorShape([1050, 4]), TensorShape([1, 28, 48]))
    """

    shape_class = OwnEmbeddingConfig

    def __init__(self, config: OwnEmbeddingConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        if config.table_ranges:
            rows = sum(count for _, _, count in config.table_ranges)
            self.own = PackedEmbedding(rows, config.own_width, name="own")
            self.own.build((None, None))

    @property
    def expert_input_width(self) -> int:
        """How many numbers the expert reads."""
        return super().expert_input_width + self.config.own_width * len(self.config.table_ranges)

    def read_expert_input(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns what the expert reads, [B, expert_input_width]."""
        x = super().read_expert_input(inputs)
        if not self.config.table_ranges:
            return x
        return tf.concat([x, self.own(locate_ids(inputs.encoded.ids, self.config.table_ranges))], 1)

    def list_id_tables(self) -> dict[str, IdRanges]:
        """Returns the features whose ids have a weight or an embedding of the task's own."""
        own = {"own/table": self.config.table_ranges} if self.config.table_ranges else {}
        return {**super().list_id_tables(), **own}


class OwnEmbeddingBank(ResidualBank):
    """Residual heads with embeddings of their own as one batched computation.

    Args:
      heads: Trained heads of one shape, and of n logits each, by task, N of them. Their weights
        are copied.
      prompts: [P, H]. The model's own tasks' prompts; not used here.
    """

    def __init__(self, heads: Mapping[str, OwnEmbeddingHead], prompts: np.ndarray):
        super().__init__(heads, prompts)
        all_heads = at_least_two(list(heads.values()))
        config, width = all_heads[0].config, all_heads[0].layout.input_width
        self._ranges = config.table_ranges
        if self._ranges:
            kernels = [to_float64(h.expert.kernels[0])[0] for h in all_heads]
            self._expert = stack_variable(kernel[:width] for kernel in kernels)
            self._own = stack_variable(kernel[width:] for kernel in kernels)
            self._tables = stack_variable((to_float64(h.own.table) for h in all_heads), axis=1)

    def _multiply_expert(self, inputs: HeadInputs) -> tf.Tensor:
        of_x = super()._multiply_expert(inputs)
        if not self._ranges:
            return of_x
        own = tf.gather(self._tables, locate_ids(inputs.encoded.ids, self._ranges))  # [B, F, N, w]
        heads, units, _ = self._own.shape
        own = tf.reshape(tf.transpose(own, [2, 0, 1, 3]), [heads, -1, units])
        return tf.add_n([of_x, own @ self._own])
