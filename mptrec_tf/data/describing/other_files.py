"""Files that the package's readers read, as a sample of text: all but local text files."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.list_values import read_lists
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.describing.sample import Sample
    from mptrec_tf.data.sources.block import Block

_LISTS = "|"  # between the values of a list


class OtherFile:
    """A file that the package's readers read, of which the first rows are taken."""

    def __init__(self, path: str, sample: "Sample"):
        self._path, self._sample = path, sample

    def read(self, quota: int, on_rows: Callable[[int], Any]) -> int:
        """Adds up to `quota` rows to the sample; returns how many."""
        from mptrec_tf.data.sources.tabular import read_file

        rows, text_format = 0, self._sample.text_format
        lists = self._find_lists(next(read_file(self._path, text_format), None))
        blocks = read_file(self._path, text_format, lists=lists, given=self._sample.given)
        for block in filter(len, blocks):
            if rows >= quota:
                self._sample.complete = False
                break
            if len(block) > quota - rows:
                self._sample.complete = False
            block = block.rows(np.arange(min(len(block), quota - rows)))
            columns = {}
            for name in block.columns:
                try:
                    columns[name] = self._read_column(block, name)
                except InputError as error:
                    self._sample.notes.append(f"column {name!r} is left out: {error}".rstrip("."))
            self._sample.append(columns, len(block), self._path)
            rows += len(block)
            on_rows(len(block))
        return rows

    def _find_lists(self, block: "Block | None") -> list[str]:
        """Returns the columns of tf.Examples that have not one value in each record."""
        if block is None or not block.is_examples:
            return []
        lists = []
        for name in block.columns:
            try:
                block.column(name)
            except InputError:
                lists.append(name)
        return lists

    def _read_column(self, block: "Block", name: str) -> list[str]:
        if name not in block.lists:
            return [self._to_text(name, value) for value in block.text(name)]
        lists = block.lists[name]
        lengths = set(lists.value_lengths().to_pylist())
        # A feature that some tf.Examples lack has lists of none or one.
        if not block.is_examples or max(lengths, default=0) > 1:
            self._measure_lists(name, str(lists.type.value_type), lengths)
        values = read_lists(block, name, _LISTS)
        ends = np.cumsum(values.lengths)[:-1]
        return [_LISTS.join(of) for of in np.split(values.values, ends)]

    def _measure_lists(self, name: str, of: str, lengths: set[int]) -> None:
        sample = self._sample
        size = min(lengths) if len(lengths) == 1 and of in ("float", "double") else 0
        if name not in sample.lists and size > 1:
            sample.sizes[name] = size
        elif sample.sizes.get(name) != size:
            sample.sizes.pop(name, None)
        sample.lists.add(name)

    def _to_text(self, name: str, value: Any) -> str:
        if isinstance(value, list | tuple | np.ndarray):
            self._sample.lists.add(name)
            return _LISTS.join(str(item) for item in value)
        return "" if value is None else str(value).strip()
