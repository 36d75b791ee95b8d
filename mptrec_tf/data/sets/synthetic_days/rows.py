"""Built-in data that change from day to day: tastes turn, new items arrive, old ones leave.

Impressions are those of `synthetic`, in a world of each day. Each user's factors, and how much each
category is liked by all, turn from what they are on day 0 towards others that are independent of
them:

    factors(day) = cos(day * drift) * factors + sin(day * drift) * others

so that tastes of two days that are n apart have a correlation of cos(n * drift), and every day is
as hard as any other. Each of the places that items take holds an item for a lifetime, then a new
one with an id, a category, a price and factors of its own; the places change hands on different
days, so that one item in a lifetime's days is new each day. An item is shown more and more often
until it has half of its life behind it, then less and less.

What a day is follows from the seed and its number, without the days before it. The probability of
each label is known, and so is the best AUC that any model can reach on a day.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mptrec_tf.data.sets.synthetic.rows import (
    CATEGORIES,
    CHUNK,
    ITEMS,
    World,
    draw_centers,
    draw_from,
    make_columns,
    make_world,
    scatter,
)
from mptrec_tf.data.sets.synthetic.spec import TASKS
from mptrec_tf.data.sets.synthetic_days.spec import (
    DAY,
    DEFAULT_DRIFT,
    DEFAULT_LIFETIME,
    count_rows,
    make_spec,
)
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

_OWN = 200  # added to the seeds of `synthetic`, so that no generator is used twice
_SHARD = 50 * CHUNK


@dataclasses.dataclass(frozen=True)
class Change:
    """What changes, and how fast.

    Attributes:
      seed: int, 0 or more. Seed of users, items, effects and rows.
      drift: float. Degrees by which tastes turn in a day.
      lifetime: int. Days that an item stays.

    Raises:
      InputError: for a negative seed or drift, or a lifetime of less than a day.
    """

    seed: int = 1
    drift: float = DEFAULT_DRIFT
    lifetime: int = DEFAULT_LIFETIME

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("drift", 0), ("lifetime", 1)):
            if (value := getattr(self, name)) < least:
                raise InputError(f"the {name} must be {least} or more, not {value}.")

    def correlation(self, days: int) -> float:
        """Returns that of tastes of two days that are so many days apart."""
        return math.cos(math.radians(days * self.drift))


@dataclasses.dataclass(frozen=True)
class _Future:
    """What one seed fixes, beside the `World` of `synthetic`."""

    user_factors: np.ndarray  # [1 + tasks, users, factors]: what tastes turn to
    liked: np.ndarray  # [1 + tasks, categories]: what categories' effects turn to
    categories: np.ndarray  # [1 + tasks, categories, factors]: the centers of items' factors
    phase: np.ndarray  # [items], in [0, 1): the share of its life that is over on day 0


@functools.lru_cache(maxsize=4)
def _make_future(seed: int) -> _Future:
    world = make_world(seed)
    rng = np.random.default_rng([seed, _OWN])
    segment = world.user["user_segment"]
    return _Future(
        user_factors=2 * scatter(rng, draw_centers(rng, segment.max() + 1), segment),
        liked=0.4 * rng.normal(size=(1 + len(TASKS), CATEGORIES)),
        categories=draw_centers(rng, CATEGORIES),
        phase=rng.random(ITEMS),
    )


@functools.lru_cache(maxsize=64)
def _make_generation(seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns categories and prices [items] and factors of the n-th items of all places."""
    rng = np.random.default_rng([seed, _OWN + 1, number])
    category = rng.integers(CATEGORIES, size=ITEMS)
    price = np.round(rng.lognormal(3.0, 1.0, size=ITEMS), 2)
    return category, price, scatter(rng, _make_future(seed).categories, category)


@functools.lru_cache(maxsize=64)
def make_day(change: Change, day: int) -> tuple[World, np.ndarray]:
    """Returns users and items of a day, and the numbers of the items [items], by their places."""
    world, future = make_world(change.seed), _make_future(change.seed)
    angle = math.radians(day * change.drift)

    def turn(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return math.cos(angle) * before + math.sin(angle) * after

    lived = day + np.floor(future.phase * change.lifetime).astype(int)
    generation, age = np.divmod(lived, change.lifetime)
    category, price = np.empty(ITEMS, int), np.empty(ITEMS)
    factors = np.empty_like(world.item_factors)
    for number in np.unique(generation):
        at = generation == number
        of_category, of_price, of_factors = _make_generation(change.seed, int(number))
        category[at], price[at] = of_category[at], of_price[at]
        factors[:, at] = of_factors[:, at]
    shown = world.item_probability * np.sin(np.pi * (age + 0.5) / change.lifetime)
    liked = turn(world.effects["item_category"], future.liked)
    of_day = dataclasses.replace(
        world,
        item_probability=shown / shown.sum(),
        item={"item_category": category, "item_price": price},
        user_factors=turn(world.user_factors, future.user_factors),
        item_factors=factors,
        effects={**world.effects, "item_category": liked},
    )
    return of_day, generation * ITEMS + np.arange(ITEMS)


def make_day_columns(
    change: Change, day: int, split: str, chunk: int, size: int
) -> dict[str, np.ndarray]:
    """Returns the raw columns of the first rows of a chunk of a day."""
    world, numbers = make_day(change, day)
    rng = np.random.default_rng([change.seed, _OWN + 2 + SPLITS.index(split), day, chunk])
    impressions = draw_from(world, rng, size)
    ids = np.array([f"i{number}" for number in numbers], object)
    columns = {"item_id": ids[impressions.item], DAY: np.full(size, day)}
    return make_columns(impressions) | columns


class SyntheticDays:
    """Training rows of some days, validation rows of the last of them, test rows of the next.

    They are generated as they are read. A day's training rows are the same in all windows that
    hold the day.

    Args:
      day: The last day of the training rows, counted from 0.
      days: How many days these are.
      rows: Rows of a day by split.
      change: What changes, and how fast.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: for an unknown task, or days before day 0.
    """

    def __init__(
        self,
        day: int,
        days: int,
        *,
        rows: Mapping[str, int] | None = None,
        change: Change = Change(),
        tasks: Sequence[str] = TASKS,
    ):
        if days < 1:
            raise InputError(f"the number of days must be 1 or more, not {days}.")
        if day < days - 1:
            raise InputError(
                f"training rows of {days} days up to day {day} would begin before day 0; give day "
                f"{days - 1} or a later one, or fewer days."
            )
        self.spec = make_spec(tasks)
        self._rows = dict(rows or count_rows())
        self._change = change
        self._days = {
            "train": range(day - days + 1, day + 1),
            "validation": range(day, day + 1),
            "test": range(day + 1, day + 2),
        }

    def shards(self, split: str) -> Sequence[tuple[str, int, int, int]]:
        """Returns the shards of a split: (split, day, first row of the day, end)."""
        rows = self._rows.get(split, 0)
        return [
            (split, day, start, min(start + _SHARD, rows))
            for day in self._days.get(split, ())
            for start in range(0, rows, _SHARD)
        ]

    def read(self, shard: tuple[str, int, int, int]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        split, day, start, stop = shard
        for first in range(start, stop, CHUNK):
            size = min(CHUNK, stop - first)
            columns = make_day_columns(self._change, day, split, first // CHUNK, size)
            lines = np.arange(first + 1, first + size + 1)
            yield Block(columns, f"{self.spec.name} {split} rows of day {day}", lines, "row")

    def estimated_rows(self, split: str) -> int:
        """Returns the number of a split's rows."""
        return self._rows.get(split, 0) * len(self._days.get(split, ()))
