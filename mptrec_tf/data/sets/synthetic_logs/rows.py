"""Built-in data as real logs have them: the impressions of `synthetic`, and what it lacks.

Each row of `synthetic` gets a bag (the topics of the item, with their relevance), a history (items
that the user liked before, the oldest first), a number that three rows in ten lack (seconds since
the session began), and a time. Its columns stay as they are, and so do its four tasks. Four more
tasks are about what came after a click. They follow the appeal of an impression,

    appeal = shared + topics + history + session + weekday

where shared is what all tasks of `synthetic` share; topics, how much the user's segment likes the
item's topics; history, the share of the history that has the item's theme (a group of
categories); session, a wave of the logarithm of the seconds, or a constant where they are missing.

    log watch seconds ~ Normal(bias + scale * appeal, deviation)
    P(cart | click) = sigmoid(bias + scale * appeal)
    P(stars > k) = sigmoid(scale * appeal - threshold_k)
    P(ending) = softmax(bias + scale * appeal)

So the best value of each metric is known. The history is drawn from what the user likes and not
from the rows, so that it holds nothing of the future and does not depend on how many rows there
are.
"""

import dataclasses
import functools

import numpy as np
from scipy.special import expit, softmax

from mptrec_tf.data.sets.synthetic.rows import (
    CHUNK,
    Impressions,
    Synthetic,
    draw_impressions,
    make_columns,
    make_world,
)
from mptrec_tf.data.sets.synthetic.spec import probability_column
from mptrec_tf.data.sets.synthetic_logs.spec import (
    ENDINGS,
    MOST_SHOWN,
    STARS,
    make_spec,
)
from mptrec_tf.data.sources.splits import SPLITS

_OWN = 100  # added to the seeds of `synthetic`, so that no generator is used twice
_TOPICS, _MOST_TOPICS, _THEMES = 12, 4, 4
_MISSING = 0.3
_RATED = 0.6  # the share of clicked rows with stars
_DAYS = 28
_FIRST_DAY = np.datetime64("2024-01-01T00:00:00")  # a Monday

_SHARED, _TOPIC, _HISTORY, _SESSION, _WEEKDAY = 0.6, 0.7, 2.5, 0.8, 0.4  # parts of the appeal
_WATCH_BIAS, _WATCH_SCALE, _WATCH_DEVIATION = 3.2, 0.5, 0.6
_CART_BIAS, _CART_SCALE = -1.0, 1.0
_STARS_SCALE, _STARS_THRESHOLDS = 1.2, np.array([-1.5, -0.6, 0.5, 2.0])
_ENDING_BIAS, _ENDING_SCALE = np.array([0.0, 0.3, -1.2]), np.array([0.0, 0.9, 1.5])


@dataclasses.dataclass(frozen=True)
class _Logs:
    """What one seed fixes, beside the `World` of `synthetic`."""

    relevance: np.ndarray  # [items, topics]; 0: not a topic of the item
    topics: np.ndarray  # [items] of text, as in the column
    taste: np.ndarray  # [segments, topics]
    theme: np.ndarray  # [items]
    interest: np.ndarray  # [users, themes]; sums to 1
    weekday: np.ndarray  # [7]


@functools.lru_cache(maxsize=4)
def _make_logs(seed: int) -> _Logs:
    world = make_world(seed)
    rng = np.random.default_rng([seed, _OWN])
    items = len(world.item_probability)
    order = rng.random((items, _TOPICS)).argsort(axis=1)
    has = order < rng.integers(1, _MOST_TOPICS + 1, size=(items, 1))
    relevance = np.where(has, rng.integers(1, 11, size=has.shape) / 10, 0)
    topics = [
        "|".join(f"t{topic}:{of_item[topic]:g}" for topic in np.flatnonzero(of_item))
        for of_item in relevance
    ]
    theme = world.item["item_category"] % _THEMES
    affinity = world.user_factors[0] @ world.item_factors[0].T
    by_theme = [affinity[:, theme == of].mean(axis=1) for of in range(_THEMES)]
    segments = world.user["user_segment"].max() + 1
    return _Logs(
        relevance=relevance,
        topics=np.array(topics, object),
        taste=rng.normal(size=(segments, _TOPICS)),
        theme=theme,
        interest=softmax(3 * np.stack(by_theme, axis=1), axis=1),
        weekday=rng.normal(size=7),
    )


def _draw_history(rng: np.random.Generator, seed: int, user: np.ndarray) -> np.ndarray:
    """Returns the items that each of n users liked before, [n, MOST_SHOWN]; -1 before the first.

    Half of their themes are what the user likes, half what the user is after now.
    """
    logs, popularity = _make_logs(seed), make_world(seed).item_probability
    now = rng.dirichlet(np.full(_THEMES, 0.3), size=CHUNK)[: len(user)]
    interest = np.cumsum((logs.interest[user] + now) / 2, axis=1)
    draws = rng.random((CHUNK, MOST_SHOWN))[: len(user)]
    theme = (draws[:, :, None] > interest[:, None, :-1]).sum(axis=2)
    # Items in the order of their themes; a theme's are a range of their summed popularity.
    order = np.argsort(logs.theme, kind="stable")
    ends = np.cumsum(popularity[order])
    mass = np.bincount(logs.theme, popularity, _THEMES)
    at = (np.cumsum(mass) - mass)[theme]
    at += rng.random((CHUNK, MOST_SHOWN))[: len(user)] * mass[theme]
    items = order[np.minimum(np.searchsorted(ends, at), len(order) - 1)]
    length = rng.integers(MOST_SHOWN + 1, size=CHUNK)[: len(user)]
    return np.where(np.arange(MOST_SHOWN) >= MOST_SHOWN - length[:, None], items, -1)


def _make_log_columns(
    seed: int, split: str, chunk: int, impressions: Impressions
) -> dict[str, np.ndarray]:
    """Returns the columns that `synthetic` lacks, of the first rows of a chunk."""
    logs, rows = _make_logs(seed), len(impressions.user)
    rng = np.random.default_rng([seed, _OWN + 1 + SPLITS.index(split), chunk])
    item, side = impressions.item, impressions.side
    history = _draw_history(rng, seed, impressions.user)
    session = np.exp(rng.normal(4.5, 1.2, size=CHUNK)).round(1)[:rows]
    session[(rng.random(CHUNK) < _MISSING)[:rows]] = np.nan
    day, second = rng.integers(_DAYS, size=CHUNK)[:rows], rng.integers(3600, size=CHUNK)[:rows]
    shown = _FIRST_DAY + (day * 24 * 3600 + side["hour"] * 3600 + second).astype("timedelta64[s]")

    relevance = logs.relevance[item]
    liked = (relevance * logs.taste[side["user_segment"]]).sum(axis=1) / relevance.sum(axis=1)
    shown_before = history >= 0
    same = shown_before & (logs.theme[history] == logs.theme[item][:, None])
    share = same.sum(axis=1) / np.maximum(shown_before.sum(axis=1), 1)
    wave = np.where(np.isnan(session), -1.0, np.cos(2 * (np.log1p(session) - 4.5) / 1.2))
    appeal = _SHARED * impressions.score[0] + _TOPIC * liked
    appeal += _HISTORY * (share - 1 / _THEMES) + _SESSION * wave + _WEEKDAY * logs.weekday[day % 7]

    columns = {
        "item_topics": logs.topics[item],
        "history": np.array(
            ["|".join([f"i{of}" for of in row if of >= 0]) for row in history.tolist()], object
        ),
        "session_seconds": session,
        "shown_at": np.datetime_as_string(shown, unit="s").astype(object),
    }
    return columns | _make_labels(rng, impressions, appeal)


def _make_labels(
    rng: np.random.Generator, impressions: Impressions, appeal: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the labels of the tasks after a click, and what is known of them."""
    rows = len(appeal)
    clicked, of_click = impressions.labels[0], impressions.probability[0]
    location = _WATCH_BIAS + _WATCH_SCALE * appeal
    watch = np.exp(location + _WATCH_DEVIATION * rng.normal(size=CHUNK)[:rows])
    of_cart = expit(_CART_BIAS + _CART_SCALE * appeal)
    above = expit(_STARS_SCALE * appeal[:, None] - _STARS_THRESHOLDS)
    of_stars = -np.diff(above, axis=1, prepend=1, append=0)
    of_ending = softmax(_ENDING_BIAS + _ENDING_SCALE * appeal[:, None], axis=1)
    cart = clicked & (rng.random(CHUNK)[:rows] < of_cart)
    stars = _choose(rng.random(CHUNK)[:rows], of_stars, STARS)
    ending = _choose(rng.random(CHUNK)[:rows], of_ending, ENDINGS)
    rated = clicked & (rng.random(CHUNK)[:rows] < _RATED)
    return {
        "watch_seconds": np.where(clicked, np.char.mod("%.2f", watch), "").astype(object),
        "mean_watch": np.exp(location + _WATCH_DEVIATION**2 / 2),
        "median_watch": np.exp(location),
        "cart": cart.astype(np.int64),
        probability_column("cart"): of_click * of_cart,
        "stars": np.where(rated, stars, "").astype(object),
        **{probability_column(f"stars_{v}"): of_stars[:, i] for i, v in enumerate(STARS)},
        "ending": np.where(clicked, ending, "").astype(object),
        **{probability_column(f"ending_{v}"): of_ending[:, i] for i, v in enumerate(ENDINGS)},
    }


def _choose(draws: np.ndarray, probability: np.ndarray, values: tuple[str, ...]) -> np.ndarray:
    """Returns the value of each row [n], given draws [n] and probabilities [n, values]."""
    place = (draws[:, None] > np.cumsum(probability[:, :-1], axis=1)).sum(axis=1)
    return np.array(values)[place]


class SyntheticLogs(Synthetic):
    """Any number of impressions as real logs have them; its arguments are those of `Synthetic`."""

    make_spec = staticmethod(make_spec)

    @staticmethod
    def make_columns(seed: int, split: str, chunk: int, size: int) -> dict[str, np.ndarray]:
        """Returns the raw columns of the first rows of a chunk of a split."""
        impressions = draw_impressions(seed, split, chunk, size)
        return make_columns(impressions) | _make_log_columns(seed, split, chunk, impressions)
