"""Counts of categories, in Arrow: some 20 bytes for each different one, and no loop over rows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# A few large steps are faster than many small ones.
_WAITING_ROWS = 1 << 16
_TYPE = pa.large_binary()


class CategoryCounts:
    """Counts texts. It can be pickled, for which it is compressed.

    Example:
      >>> counts = CategoryCounts()
      >>> counts.add(np.array([b"b", b"a", b"b", b"c"], object))
      >>> values, rows = counts.most_frequent(min_count=1)
      >>> values.to_pylist(), rows.tolist()
      ([b'b', b'a', b'c'], [2, 1, 1])
    """

    def __init__(self) -> None:
        self._waiting: list[pa.Array] = []
        self._rows = 0  # that wait
        # Different texts and the rows of each; in the first all that were merged, in the others
        # those that came since then.
        self._parts: list[tuple[pa.Array, np.ndarray]] = []

    def add(self, texts: np.ndarray) -> None:
        """Counts texts, an object array [n] of bytes."""
        self._waiting.append(pa.array(texts, _TYPE))
        self._rows += len(texts)
        if self._rows >= _WAITING_ROWS:
            self._count_waiting()

    def merge(self, texts: pa.Array, rows: np.ndarray) -> None:
        """Adds different texts, and the rows of each, as `counted` of another one returns them."""
        self._parts.append((texts, rows))
        # Each text is merged a few times, however many parts there are.
        if sum(len(of) for of, _ in self._parts[1:]) >= len(self._parts[0][0]):
            self._merge_parts()

    def counted(self) -> tuple[pa.Array, np.ndarray]:
        """Returns the different texts, [k] large_binary in any order, and the rows of each, [k]."""
        self._count_waiting()
        self._merge_parts()
        return self._parts[0]

    def __getstate__(self) -> bytes:
        """Returns what was counted, compressed: digits and names take half of the bytes."""
        texts, rows = self.counted()
        packed = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        batch = pa.RecordBatch.from_arrays([texts, pa.array(rows)], ["texts", "rows"])
        with pa.ipc.new_stream(packed, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        return packed.getvalue().to_pybytes()

    def __setstate__(self, state: bytes) -> None:
        """Takes what `__getstate__` returned."""
        self.__init__()
        [batch] = pa.ipc.open_stream(state)
        self.merge(batch.column(0), batch.column(1).to_numpy())

    def most_frequent(self, min_count: int) -> tuple[pa.Array, np.ndarray]:
        """Returns the texts of so many rows or more, as `counted`, by their rows and then bytes."""
        texts, rows = self.counted()
        chosen = np.flatnonzero(rows >= min_count)
        texts, rows = texts.take(pa.array(chosen)), rows[chosen]
        order = pc.sort_indices(
            pa.table({"text": texts, "rows": rows}),
            sort_keys=[("rows", "descending"), ("text", "ascending")],
        )
        return texts.take(order), rows[order.to_numpy()]

    def _count_waiting(self) -> None:
        if self._waiting:
            texts = pa.chunked_array(self._waiting, _TYPE)
            self._waiting, self._rows = [], 0
            counted = texts.value_counts()
            self.merge(counted.field(0), counted.field(1).to_numpy())

    def _merge_parts(self) -> None:
        if len(self._parts) == 1:
            return
        texts = pa.concat_arrays([pa.array([], _TYPE), *(of for of, _ in self._parts)])
        rows = np.concatenate([np.zeros(0, np.int64), *(of for _, of in self._parts)])
        encoded = texts.dictionary_encode()
        # Sums of rows are whole numbers, of which float64 has all below 2^53.
        sums = np.bincount(encoded.indices.to_numpy(), rows, len(encoded.dictionary))
        self._parts = [(encoded.dictionary, sums.astype(np.int64))]
