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

from mptrec_tf.data.sets.synthetic.spec import (
    DEFAULT_ROWS,
    TASKS,
    make_spec,
    probability_column,
)
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

_USERS, ITEMS = 500, 200
_USER_SEGMENTS, _CITIES, CATEGORIES, _HOURS, _DEVICES = 6, 20, 16, 24, 4
_POWER = 1.05  # ids of rank r are drawn in proportion to r ** -_POWER
_FACTORS = 4
_BIAS = (-1.1, -1.8, -2.4, -2.8)
_SCALE = 1.1
_SHARED_SHARE = 0.6
CHUNK = 2_000  # rows of one seed
_SHARD = 50 * CHUNK


@dataclasses.dataclass(frozen=True)
class World:
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


@dataclasses.dataclass(frozen=True)
class Impressions:
    """n impressions, as numbers.

    Attributes:
      user: [n] int. Ranks of the users.
      item: [n] int. Ranks of the items.
      side: Side features, [n] each.
      freshness: [n].
      score: [1 + tasks, n]. What the log-odds are made of; the first is shared by all tasks.
      probability: [tasks, n].
      labels: [tasks, n] bool.
    """

    user: np.ndarray
    item: np.ndarray
    side: Mapping[str, np.ndarray]
    freshness: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    labels: np.ndarray


def draw_centers(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns the factors of groups of users or of items, [1 + tasks, count, factors]."""
    return rng.normal(size=(1 + len(TASKS), count, _FACTORS))


def scatter(rng: np.random.Generator, centers: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Scatters members around the centers of their groups, so that rare ids are predictable, too.

    Args:
      rng: The generator.
      centers: What `draw_centers` returned.
      members: [n]. The group of each.
    """
    own = rng.normal(size=(len(centers), len(members), _FACTORS))
    return (0.8 * centers[:, members] + 0.6 * own) / np.sqrt(_FACTORS)


@functools.lru_cache(maxsize=4)
def make_world(seed: int) -> World:
    """Returns users and items of a seed."""
    rng = np.random.default_rng([seed, 0])
    groups = 1 + len(TASKS)

    def power_law(count: int) -> np.ndarray:
        weights = np.arange(1, count + 1) ** -_POWER
        return weights / weights.sum()

    segment = rng.integers(_USER_SEGMENTS, size=_USERS)
    category = rng.integers(CATEGORIES, size=ITEMS)

    def factors(groups_of: int, members: np.ndarray) -> np.ndarray:
        return scatter(rng, draw_centers(rng, groups_of), members)

    return World(
        user_probability=power_law(_USERS),
        item_probability=power_law(ITEMS),
        user={
            "user_segment": segment,
            "user_city": rng.integers(_CITIES, size=_USERS),
            "user_age": rng.integers(16, 80, size=_USERS),
        },
        item={
            "item_category": category,
            "item_price": np.round(rng.lognormal(3.0, 1.0, size=ITEMS), 2),
        },
        user_factors=2 * factors(_USER_SEGMENTS, segment),
        item_factors=factors(CATEGORIES, category),
        effects={
            name: 0.4 * rng.normal(size=(groups, values))
            for name, values in (
                ("user_city", _CITIES),
                ("item_category", CATEGORIES),
                ("device", _DEVICES),
                ("hour", _HOURS),
            )
        },
        age=0.4 * rng.normal(size=groups),
        price=0.4 * rng.normal(size=groups),
        freshness=0.6 * rng.normal(size=groups),
    )


def draw_impressions(seed: int, split: str, chunk: int, size: int) -> Impressions:
    """Returns the first rows of a chunk of a split."""
    rng = np.random.default_rng([seed, 1 + SPLITS.index(split), chunk])
    return draw_from(make_world(seed), rng, size)


def draw_from(world: World, rng: np.random.Generator, size: int) -> Impressions:
    """Returns the first rows of the chunk that a generator draws of users and items."""
    user = rng.choice(_USERS, size=CHUNK, p=world.user_probability)[:size]
    item = rng.choice(ITEMS, size=CHUNK, p=world.item_probability)[:size]
    device = rng.integers(_DEVICES, size=CHUNK)[:size]
    hour = rng.integers(_HOURS, size=CHUNK)[:size]
    freshness = rng.random(CHUNK).round(4)[:size]
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
    labels = rng.random((len(TASKS), CHUNK))[:, :size] < probability
    return Impressions(user, item, side, freshness, score, probability, labels)


def make_columns(of: Impressions) -> dict[str, np.ndarray]:
    """Returns the raw columns of impressions."""
    text = {"user_id": of.user, "item_id": of.item, **of.side}
    columns = {
        name: np.array([f"{name[0]}{value}" for value in text[name]], object)
        for name in ("user_id", "item_id", "user_segment", "user_city", "item_category")
    }
    columns |= {name: text[name].astype(str).astype(object) for name in ("device", "hour")}
    columns |= {name: of.side[name] for name in ("user_age", "item_price")}
    columns["item_freshness"] = of.freshness
    for task, name in enumerate(TASKS):
        columns[name] = of.labels[task].astype(np.int64)
        columns[probability_column(name)] = of.probability[task]
    return columns


class Synthetic:
    """Any number of impressions, generated as they are read; the same seed gives the same rows.

    Args:
      rows: Rows by split.
      seed: 0 or more. Seed of users, items, effects and rows.
      tasks: Names of the tasks, those to pre-train on and those to add. None: the data set's own.

    Raises:
      InputError: for an unknown task or a negative seed.
    """

    make_spec = staticmethod(make_spec)

    def __init__(
        self,
        rows: Mapping[str, int] | None = None,
        seed: int = 1,
        tasks: Sequence[str] | None = None,
    ):
        if seed < 0:
            raise InputError(f"the seed must be 0 or more, not {seed}.")
        self.spec = self.make_spec() if tasks is None else self.make_spec(tasks)
        self._rows = dict(DEFAULT_ROWS if rows is None else rows)
        self._seed = seed

    def shards(self, split: str) -> Sequence[tuple[str, int, int]]:
        """Returns the shards of a split: (split, first row, end)."""
        rows = self._rows.get(split, 0)
        return [(split, start, min(start + _SHARD, rows)) for start in range(0, rows, _SHARD)]

    def read(self, shard: tuple[str, int, int]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        split, start, stop = shard
        for first in range(start, stop, CHUNK):
            size = min(CHUNK, stop - first)
            columns = self.make_columns(self._seed, split, first // CHUNK, size)
            lines = np.arange(first + 1, first + size + 1)
            yield Block(columns, f"{self.spec.name} {split} rows", lines, "row")

    @staticmethod
    def make_columns(seed: int, split: str, chunk: int, size: int) -> dict[str, np.ndarray]:
        """Returns the raw columns of the first rows of a chunk of a split."""
        return make_columns(draw_impressions(seed, split, chunk, size))

    def estimated_rows(self, split: str) -> int:
        """Returns the number of a split's rows."""
        return self._rows.get(split, 0)
