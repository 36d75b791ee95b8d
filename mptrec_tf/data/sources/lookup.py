"""Tables that the rows of a log are joined with by a key: a user's columns, an item's.

A table is held in memory, in Arrow; it is for data of users and items, not for logs.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sources.block import Block
from mptrec_tf.errors import InputError


class LookupTable:
    """Rows by key.

    Args:
      blocks: The rows of the table.
      key: The column with the key, whose values are distinct.
      columns: New names of the columns that are looked up, by their names in the table.
      what: What the table is, for messages: its file.

    Raises:
      InputError: for a key that comes twice, with both places, or a missing column.

    Example:
      users = LookupTable(read_csv("u.user", FORMAT), "user_id", {"age": "user_age"}, "u.user")
      for block in read_csv("u.data", LOG_FORMAT):
          block = users.join(block, "user_id")
    """

    def __init__(self, blocks: Iterable[Block], key: str, columns: Mapping[str, str], what: str):
        self._what, self._key = what, key
        self._names = list(columns.values())
        keys, parts, places = [], [], []
        for block in filter(len, blocks):
            keys.append(read_text(block, key))
            parts.append([read_text(block, name) for name in columns])
            places.append(block)
        self._keys = pa.chunked_array(keys, pa.large_string()).combine_chunks()
        self._columns = [
            pa.chunked_array(chunks, pa.large_string()).combine_chunks()
            for chunks in (zip(*parts, strict=True) if parts else [[] for _ in columns])
        ]
        self._check_distinct(places)

    def _check_distinct(self, blocks: Sequence[Block]) -> None:
        encoded = self._keys.dictionary_encode()
        if len(encoded.dictionary) == len(self._keys):
            return
        codes = encoded.indices.to_numpy()
        repeated = np.flatnonzero(np.bincount(codes) > 1)[0]
        first, second, *_ = np.flatnonzero(codes == repeated)
        ends = np.cumsum([len(block) for block in blocks])

        def where(row: int) -> str:
            at = int(np.searchsorted(ends, row, side="right"))
            return blocks[at].where(row - (ends[at - 1] if at else 0))

        raise InputError(
            f"{where(second)}: {self._key} {self._keys[int(first)].as_py()!r} comes twice, also in "
            f"{where(first)}; remove one of them."
        )

    def __len__(self) -> int:
        return len(self._keys)

    def join(self, block: Block, key: str) -> Block:
        """Returns a block with the table's columns, by a column of the block.

        Raises:
          InputError: for a row whose key is not in the table, with its place.
        """
        found = pc.index_in(read_text(block, key), value_set=self._keys)
        if found.null_count:
            row = int(np.flatnonzero(found.is_null())[0])
            value = read_text(block, key)[row].as_py()
            raise InputError(
                f"{block.where(row)}: {self._what} has no {self._key} {value!r}; both files must "
                "be of the same release."
            )
        taken = [column.take(found) for column in self._columns]
        return block.with_text(dict(zip(self._names, taken, strict=True)))


def read_text(block: Block, name: str) -> pa.Array:
    """Returns a column of a block as text, [n] large_string.

    Raises:
      InputError: as `Block.check_single` does.
    """
    return block.encoded(name).cast(pa.large_string())
