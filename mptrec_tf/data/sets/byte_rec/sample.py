"""Writes a file of the shape of Byte-Rec, with planted structure.

A user has fifty rows and a video ten in the mean; half of the videos are longer than ten seconds,
and long ones are finished less often. Likes are more frequent than in the original, so that small
samples have some. The numbers of ids, the shares of missing ones, and durations of many hours that
cannot be true are those of the original.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from mptrec_tf.data.sets.byte_rec.spec import COLUMNS, FILE
from mptrec_tf.data.sets.planted import Impressions, Planted

_ROWS_OF_USER, _ROWS_OF_ITEM, _MOST_ITEMS = 50, 10, 1_000_000
_FINISH, _LIKE = -0.6, -2.5
_USER_CITIES, _ITEM_CITIES, _MUSIC, _CHANNELS = 396, 456, 800, 5
_NO_USER_CITY, _NO_ITEM_CITY, _NO_MUSIC = 0.1, 0.15, 0.64
_LENGTHS = np.array([5, 7, 8, 9, 10, 10, 11, 12, 13, 14, 15, 30])  # seconds, of kinds of videos
_PER_SECOND = -0.1  # of the logit of finishing
_WRONG, _WRONG_LENGTH = 50_000, 70_000  # one video in so many, and its length
_LAST_TIME = 53_087_170_005
_VIDEOS, _ROWS = 100, 200  # keys of generators
_CITY_OF_USER, _CITY_OF_ITEM, _MUSIC_OF_ITEM, _LENGTH_OF_ITEM = range(4)  # salts of groups


def write_sample(directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]) -> None:
    """Writes the file; see `DataSet.write_sample`."""
    users, items = max(rows // _ROWS_OF_USER, 2), max(rows // _ROWS_OF_ITEM, 2)
    outcomes = {"finish": _FINISH, "like": _LIKE}
    planted = Planted(seed, users, min(items, _MOST_ITEMS), outcomes)
    user_city = planted.user_groups(_USER_CITIES, _CITY_OF_USER)
    videos = _make_videos(planted)
    with open(f"{directory}/{FILE}", "w", encoding="utf-8", newline="") as file:
        for drawn in planted.draw(rows):
            table = _make_rows(planted, drawn, user_city, videos)
            table.to_csv(file, sep="\t", header=False, index=False, lineterminator="\n")
            on_rows(len(drawn))


def _make_videos(planted: Planted) -> pd.DataFrame:
    """Returns the columns of all videos."""
    music = planted.item_groups(_MUSIC, _MUSIC_OF_ITEM)
    rng = planted.rng(_VIDEOS)
    count = len(music)
    duration = _LENGTHS[planted.item_groups(len(_LENGTHS), _LENGTH_OF_ITEM)]
    return pd.DataFrame(
        {
            "author_id": rng.integers(max(count // 5, 1), size=count),
            "item_city": planted.item_groups(_ITEM_CITIES, _CITY_OF_ITEM),
            "music_id": np.where(rng.random(count) < _NO_MUSIC, -1, music),
            "time": _LAST_TIME - rng.integers(70_000_000, size=count),
            "duration_time": np.where(rng.random(count) < 1 / _WRONG, _WRONG_LENGTH, duration),
        }
    )


def _make_rows(
    planted: Planted, drawn: Impressions, user_city: np.ndarray, videos: pd.DataFrame
) -> pd.DataFrame:
    """Returns rows of the file."""
    rng = planted.rng(_ROWS, drawn.first)
    draws = rng.random((4, len(drawn)))
    table = videos.iloc[drawn.item].reset_index(drop=True)
    seconds = np.minimum(table["duration_time"].to_numpy(), _LENGTHS[-1])
    finish = drawn.logits["finish"] + _PER_SECOND * (seconds - _LENGTHS.mean())
    table["uid"] = drawn.user
    table["item_id"] = drawn.item
    table["device"] = drawn.user + rng.integers(2, size=len(drawn))  # some share one, or have two
    table["channel"] = np.minimum(rng.geometric(0.8, size=len(drawn)) - 1, _CHANNELS - 1)
    table["user_city"] = np.where(draws[0] < _NO_USER_CITY, -1, user_city[drawn.user])
    table["item_city"] = np.where(draws[1] < _NO_ITEM_CITY, -1, table["item_city"])
    table["finish"] = (draws[2] < expit(finish)).astype(int)
    table["like"] = (draws[3] < expit(drawn.logits["like"])).astype(int)
    return table[list(COLUMNS)]
