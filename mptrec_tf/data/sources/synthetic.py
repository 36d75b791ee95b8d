"""Built-in data: impressions of items to users, with four tasks whose probabilities are known.

Each user and each item has a shared latent vector and one per task. The log-odds of task t on an
impression are

    bias_t + scale * (shared_share * s(user, item, context) + (1 - shared_share) * r_t(...))

where s and r_t are sums of an affinity of user and item and of effects of the side features; s is
shared by all tasks, r_t is specific to task t. Since the probability of each label is known, so is
the best AUC that any model can reach: the AUC of the probability itself.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mptrec_tf.data.sources.block import SPLITS, Block
from mptrec_tf.data.sources.synthetic_spec import (
    DEFAULT_ROWS,
    TASKS,
    make_spec,
    probability_column,
)
from mptrec_tf.errors import InputError

_USERS, _ITEMS = 500, 200
_USER_SEGMENTS, _CITIES, _CATEGORIES, _HOURS, _DEVICES = 6, 20, 16, 24, 4
_POWER = 1.05  # ids of rank r are drawn in proportion to r ** -_POWER
_FACTORS = 4
_BIAS = (-1.1, -1.8, -2.4, -2.8)
_SCALE = 1.1
_SHARED_SHARE = 0.6
_CHUNK = 2_000  # rows of one seed
_SHARD = 50 * _CHUNK


@dataclasses.dataclass(frozen=True)
class _World:
    """What one seed fixes: users, items, and their effects on every task."""

    user_probability: np.ndarray  # [users]
    item_probability: np.ndarray  # [items]
    user: Mapping[str, np.ndarray]  # side features, [users] each
    item: Mapping[str, np.ndarray]  # side features, [items] each
    user_factors: np.ndarray  # [1 + tasks, users, factors]; 0 is shared
    item_factors: np.ndarray  # [1 + tasks, items, factors]
    effects: Mapping[str, np.ndarray]  # [1 + tasks, values of a side feature]
    age: np.ndarray  # [1 + tasks]
    price: np.ndarray  # [1 + tasks]
    freshness: np.ndarray  # [1 + tasks]


@functools.lru_cache(maxsize=4)
def _make_world(seed: int) -> _World:
    rng = np.random.default_rng([seed, 0])
    groups = 1 + len(TASKS)

    def power_law(count: int) -> np.ndarray:
        weights = np.arange(1, count + 1) ** -_POWER
        return weights / weights.sum()

    segment = rng.integers(_USER_SEGMENTS, size=_USERS)
    category = rng.integers(_CATEGORIES, size=_ITEMS)

    def factors(centers: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Scatters members around their group, so that rare ids are predictable, too."""
        own = rng.normal(size=(groups, len(members), _FACTORS))
        return (0.8 * centers[:, members] + 0.6 * own) / np.sqrt(_FACTORS)

    return _World(
        user_probability=power_law(_USERS),
        item_probability=power_law(_ITEMS),
        user={
            "user_segment": segment,
            "user_city": rng.integers(_CITIES, size=_USERS),
            "user_age": rng.integers(16, 80, size=_USERS),
        },
        item={
            "item_category": category,
            "item_price": np.round(rng.lognormal(3.0, 1.0, size=_ITEMS), 2),
        },
        user_factors=2 * factors(rng.normal(size=(groups, _USER_SEGMENTS, _FACTORS)), segment),
        item_factors=factors(rng.normal(size=(groups, _CATEGORIES, _FACTORS)), category),
        effects={
            name: 0.4 * rng.normal(size=(groups, values))
            for name, values in (
                ("user_city", _CITIES),
                ("item_category", _CATEGORIES),
                ("device", _DEVICES),
                ("hour", _HOURS),
            )
        },
        age=0.4 * rng.normal(size=groups),
        price=0.4 * rng.normal(size=groups),
        freshness=0.6 * rng.normal(size=groups),
    )


def _make_rows(seed: int, split: str, chunk: int, size: int) -> dict[str, np.ndarray]:
    world = _make_world(seed)
    rng = np.random.default_rng([seed, 1 + SPLITS.index(split), chunk])
    user = rng.choice(_USERS, size=_CHUNK, p=world.user_probability)[:size]
    item = rng.choice(_ITEMS, size=_CHUNK, p=world.item_probability)[:size]
    device = rng.integers(_DEVICES, size=_CHUNK)[:size]
    hour = rng.integers(_HOURS, size=_CHUNK)[:size]
    freshness = rng.random(_CHUNK).round(4)[:size]
    side = {name: values[user] for name, values in world.user.items()}
    side |= {name: values[item] for name, values in world.item.items()}
    side |= {"device": device, "hour": hour}

    affinity = np.einsum("gnf,gnf->gn", world.user_factors[:, user], world.item_factors[:, item])
    score = affinity + sum(effect[:, side[name]] for name, effect in world.effects.items())
    score += np.outer(world.age, (side["user_age"] - 48) / 18)
    score += np.outer(world.price, np.log(side["item_price"]) - 3)
    score += np.outer(world.freshness, 2 * freshness - 1)
    mixed = _SHARED_SHARE * score[0] + (1 - _SHARED_SHARE) * score[1:]
    probability = 1 / (1 + np.exp(-(np.array(_BIAS)[:, None] + _SCALE * mixed)))
    labels = rng.random((len(TASKS), _CHUNK))[:, :size] < probability

    text = {"user_id": user, "item_id": item, **side}
    columns = {
        name: np.array([f"{name[0]}{value}" for value in text[name]], object)
        for name in ("user_id", "item_id", "user_segment", "user_city", "item_category")
    }
    columns |= {name: text[name].astype(str).astype(object) for name in ("device", "hour")}
    columns |= {name: side[name] for name in ("user_age", "item_price")}
    columns["item_freshness"] = freshness
    for task, name in enumerate(TASKS):
        columns[name] = labels[task].astype(np.int64)
        columns[probability_column(name)] = probability[task]
    return columns


class Synthetic:
    """Any number of impressions, generated as they are read; the same seed gives the same rows.

    Args:
      rows: Rows by split.
      seed: 0 or more. Seed of users, items, effects and rows.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: for an unknown task or a negative seed.
    """

    def __init__(
        self,
        rows: Mapping[str, int] | None = None,
        seed: int = 1,
        tasks: Sequence[str] = TASKS,
    ):
        if seed < 0:
            raise InputError(f"the seed must be 0 or more, not {seed}.")
        self.spec = make_spec(tasks)
        self._rows = dict(DEFAULT_ROWS if rows is None else rows)
        self._seed = seed

    def shards(self, split: str) -> Sequence[tuple[str, int, int]]:
        """Returns the shards of a split: (split, first row, end)."""
        rows = self._rows.get(split, 0)
        return [(split, start, min(start + _SHARD, rows)) for start in range(0, rows, _SHARD)]

    def read(self, shard: tuple[str, int, int]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        split, start, stop = shard
        for first in range(start, stop, _CHUNK):
            size = min(_CHUNK, stop - first)
            columns = _make_rows(self._seed, split, first // _CHUNK, size)
            lines = np.arange(first + 1, first + size + 1)
            yield Block(columns, f"synthetic {split} rows", lines, "row")

    def estimated_rows(self, split: str) -> int:
        """Returns the number of a split's rows."""
        return self._rows.get(split, 0)
