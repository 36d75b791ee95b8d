"""Columns that are made when they are used."""

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any


class Columns(Mapping[str, Any]):
    """Columns by name, each made on first use.

    Args:
      names: Names of all columns.
      make: Returns the column [n] of a name.
      may_have: Optional. Whether a name that is not among `names` has a column, too.
    """

    def __init__(
        self,
        names: Iterable[str],
        make: Callable[[str], Any],
        may_have: Callable[[str], bool] | None = None,
    ):
        self._names = dict.fromkeys(names)
        self._make = make
        self.may_have = may_have
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names or bool(self.may_have and self.may_have(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def find_repeated(names: Iterable[str]) -> frozenset[str]:
    """Returns the names that come more than once."""
    return frozenset(name for name, times in collections.Counter(names).items() if times > 1)
