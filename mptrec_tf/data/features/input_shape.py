"""The shapes of packed features, and settings of embeddings, as models read them. Plain data."""

import dataclasses

from mptrec_tf.storage.plain import added


@dataclasses.dataclass(frozen=True)
class Table:
    """Describes one embedding table of a packed tensor of ids.

    Attributes:
      width: Optional int. The width of its embeddings. None: the model's own.
      rows: int. Its rows.
      columns: The columns of the packed tensor [B, n] that it embeds.
      shifts: By column, what is added to an id to get its row.
    """

    width: int | None
    rows: int
    columns: tuple[int, ...]
    shifts: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class InputShape:
    """Describes the features of one kind to a model.

    Attributes:
      kind: str. The section, which is also the packed tensor's name.
      columns: int. n, of the packed tensor [B, n].
      rows: int. Number of ids (from 0) in the packed tensor; 0: it holds no ids.
      sizes: What else the kind's layer needs to know of each feature, see `Feature.sizes`.
      tables: Its embedding tables, if features have widths of their own. Empty: one table of all
        ids, of the model's own width.
    """

    kind: str
    columns: int
    rows: int = 0
    sizes: tuple[int, ...] = added(())
    tables: tuple[Table, ...] = added(())

    def widen(self, copies: int) -> "InputShape":
        """Returns the shape for a model that has `copies` embeddings of each id, side by side."""
        tables = tuple(
            dataclasses.replace(table, width=table.width and copies * table.width)
            for table in self.tables
        )
        return dataclasses.replace(self, tables=tables)


@dataclasses.dataclass(frozen=True)
class Embedding:
    """A model's settings for embeddings.

    Attributes:
      width: int. Width of one embedding, of all tables together.
      l2: float. Weight of the norm, see `PackedEmbedding`.
      l2_over: str. "table" or "batch".
      tables: int. How many embeddings each id has, side by side: what a layer computes of one must
        not depend on the others.
    """

    width: int
    l2: float = 0.0
    l2_over: str = "table"
    tables: int = 1
