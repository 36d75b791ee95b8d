"""Planted structure for samples of data sets: users, items, and outcomes that follow from both.

    logit(outcome) = bias + level + affinity + own

where level is what a user and an item bring along to every row, affinity is the product of both
factors, which all outcomes share, and own is the same of factors of the outcome's own, and weighs
half as much. Attributes of users and items
are the groups that their factors fall into, so that a model can learn from them, too.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

_FACTORS = 6
_LEVEL, _SHARED, _OWN = 0.5, 1.2, 0.6  # deviations of the parts of a logit


@dataclasses.dataclass(frozen=True)
class Impressions:
    """n rows.

    Attributes:
      first: int. The number of rows before them.
      user: [n] int. Numbers of users, from 0.
      item: [n] int. Numbers of items, from 0; the first ones are shown most.
      logits: [n] by outcome.
    """

    first: int
    user: np.ndarray
    item: np.ndarray
    logits: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.user)


class Planted:
    """Users, items, and what one thinks of the other.

    Args:
      seed: 0 or more. The same seed gives the same rows.
      users: The number of users.
      items: The number of items.
      outcomes: By name, the logit of an average row.

    Example:
      planted = Planted(1, users=1000, items=500, outcomes={"click": -1.0})
      for rows in planted.draw(10_000):
          clicked = planted.rng(rows.first).random(len(rows)) < expit(rows.logits["click"])
    """

    CHUNK = 8192

    def __init__(self, seed: int, users: int, items: int, outcomes: Mapping[str, float]):
        rng = np.random.default_rng([seed, 0])
        self._seed, self._bias = seed, dict(outcomes)
        groups = 1 + len(outcomes)
        self._users = rng.normal(size=(groups, users, _FACTORS)).astype(np.float32)
        self._items = rng.normal(size=(groups, items, _FACTORS)).astype(np.float32)
        self._popularity = np.cumsum(np.arange(1, items + 1) ** -0.8)
        self._popularity /= self._popularity[-1]

    def user_groups(self, count: int, salt: int) -> np.ndarray:
        """Returns an attribute of all users, [users] int below `count`; another for each salt."""
        return self._group(self._users[0], count, salt)

    def item_groups(self, count: int, salt: int) -> np.ndarray:
        """Returns an attribute of all items, [items] int below `count`; another for each salt."""
        return self._group(self._items[0], count, salt)

    def _group(self, factors: np.ndarray, count: int, salt: int) -> np.ndarray:
        centers = np.random.default_rng([self._seed, 1, salt]).normal(size=(_FACTORS, count))
        centers = centers.astype(np.float32)
        chunks = np.array_split(factors, max(len(factors) // self.CHUNK, 1))
        return np.concatenate([np.argmax(chunk @ centers, axis=1) for chunk in chunks])

    def rng(self, *key: int) -> np.random.Generator:
        """Returns a generator for a caller's own draws; another one for each key."""
        return np.random.default_rng([self._seed, 2, *key])

    def draw(
        self, rows: int, stream: int = 0, together: int = 1, uniformly: bool = False
    ) -> Iterator[Impressions]:
        """Yields so many rows, a chunk at a time; other rows for each stream.

        Args:
          rows: Their number.
          stream: 0 or more. Which rows.
          together: How many rows after one another are of one user; `CHUNK` is a multiple of it.
          uniformly: Draw each item as often as every other.
        """
        for first in range(0, rows, self.CHUNK):
            size = min(self.CHUNK, rows - first)
            rng = np.random.default_rng([self._seed, 3, stream, first])
            user = rng.integers(self._users.shape[1], size=-(-size // together))
            user = np.repeat(user, together)[:size]
            drawn, items = rng.random(size), self._items.shape[1]
            if uniformly:
                item = (drawn * items).astype(np.int64)
            else:
                item = np.searchsorted(self._popularity, drawn, side="right")
            item = np.minimum(item, items - 1)
            yield Impressions(first, user, item, self._logits(user, item))

    def _logits(self, user: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        affinity = np.einsum("gnf,gnf->gn", self._users[:, user], self._items[:, item])
        affinity /= np.sqrt(_FACTORS)
        level = _LEVEL * (self._users[0, user, 0] + self._items[0, item, 0])
        return {
            name: bias + level + _SHARED * affinity[0] + _OWN * affinity[1 + place]
            for place, (name, bias) in enumerate(self._bias.items())
        }
