"""A residual head with embeddings of its own as plain data: the shape and its kind.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.residual_shape import KINDS as RESIDUALS
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.settings import setting

# Features with fewer ids have no table of their own: the frozen embedding's few numbers tell so few
# ids apart.
LEAST_IDS = 10


@dataclasses.dataclass(frozen=True)
class OwnEmbeddingConfig(ResidualConfig):
    """The shape of a residual head with embeddings of its own.

    Attributes:
      own_width: int. Width of the task's own embeddings.
      table_ranges: (column, first id, number of ids) of each feature that has them: those of
        `LEAST_IDS` ids or more.
    """

    own_width: int = setting(4, "own_embedding: width of the task's own embeddings.", low=1)
    table_ranges: tuple[tuple[int, int, int], ...] = ()

    @property
    def table_numbers(self) -> int:
        """How many numbers the table has."""
        return self.own_width * sum(count for _, _, count in self.table_ranges)


# By name.
KINDS = {
    "own_embedding": dataclasses.replace(
        RESIDUALS["residual"],
        shape=OwnEmbeddingConfig,
        layer="mptrec_tf.models.heads.own_embedding:OwnEmbeddingHead",
        bank="mptrec_tf.models.heads.own_embedding:OwnEmbeddingBank",
        table_ids=LEAST_IDS,
        # A table for millions of ids would be most of what joint training has; the rest of the head
        # is 7% of it, in the default shape.
        most_share=0.03,
    )
}
