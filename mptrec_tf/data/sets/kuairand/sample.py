"""Writes files of the shape of KuaiRand-Pure, with planted structure.

The three logs have the original's shares of the rows; in the random one each video is as frequent
as every other. Signals are more frequent than in the original, so that small samples have some.
"""

import csv
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from mptrec_tf.data.sets.kuairand.spec import (
    LOG_COLUMNS,
    RANDOM,
    STANDARD_1,
    STANDARD_2,
    USER,
    USER_COLUMNS,
    USERS,
    VIDEO,
    VIDEO_COLUMNS,
    VIDEOS,
)
from mptrec_tf.data.sets.planted import Impressions, Planted

_ROWS_OF_USER, _MOST_USERS = 96, 1_000_000
_ROWS_OF_VIDEO, _MOST_VIDEOS = 50, 7583
# Files: the share of the rows, the first day and the number of days. The last has what remains.
_LOGS = {
    STANDARD_1: (0.435, datetime.date(2022, 4, 8), 14),
    STANDARD_2: (0.113, datetime.date(2022, 4, 22), 17),
    RANDOM: (0.452, datetime.date(2022, 4, 22), 17),
}
_OUTCOMES = {
    **{"click": -0.5, "like": -2.5, "follow": -3.0, "comment": -3.5, "forward": -3.5},
    **{"hate": -4.0, "play": 0.0},
}
_FOLLOWS = ("0", "(0,10]", "(10,50]", "(50,100]", "(100,150]", "(150,250]", "(250,500]", "500+")
_FANS = ("0", "[1,10)", "[10,100)", "[100,1k)", "[1k,5k)", "[5k,1w)", "[1w,10w)")
_FRIENDS = ("0", "[1,5)", "[5,30)", "[30,60)", "[60,120)", "[120,250)", "250+")
_DAYS = ("15-30", "31-60", "61-90", "91-180", "181-365", "366-730", "730+")
_DEGREES = ("high_active", "full_active", "middle_active", "UNKNOWN")
# How many values each encrypted feature of users has.
_ONE_HOT = (2, 7, 50, 1471, 15, 34, 3, 118, 454, 7, 5, 5, 2, 2, 2, 2, 2, 2)
_UPLOADS = ("ShortImport", "LongImport", "Web", "Kmovie", "LongCamera")
_MUSIC = 1_000_000_007  # the first id of a music
_TAGS = 69
_OF_USERS, _OF_VIDEOS, _OF_ROWS = 1, 2, 3  # keys of generators
_BEIJING = datetime.timezone(datetime.timedelta(hours=8))
_LONG, _SHORT = 18_000, 1_000  # ms


def write_sample(directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]) -> None:
    """Writes the five files that are read; see `DataSet.write_sample`."""
    planted = Planted(
        seed,
        min(max(rows // _ROWS_OF_USER, 2), _MOST_USERS),
        min(max(rows // _ROWS_OF_VIDEO, 2), _MOST_VIDEOS),
        _OUTCOMES,
    )
    durations = _draw_durations(planted)
    _write(f"{directory}/{USERS}", (USER, *USER_COLUMNS), _make_users(planted))
    _write(f"{directory}/{VIDEOS}", (VIDEO, *VIDEO_COLUMNS), _make_videos(planted, durations))
    counts = [round(share * rows) for share, _, _ in _LOGS.values()]
    counts[-1] = rows - sum(counts[:-1])
    for stream, (name, count) in enumerate(zip(_LOGS, counts, strict=True)):
        drawn = planted.draw(count, stream, uniformly=name == RANDOM)
        lines = _make_rows(planted, drawn, name, durations, on_rows)
        _write(f"{directory}/{name}", LOG_COLUMNS, lines)


def _write(path: str, header: Sequence[str], parts: Iterator[Sequence[Sequence[Any]]]) -> None:
    """Writes a CSV file of columns; each part has the values of all columns."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for columns in parts:
            writer.writerows(zip(*columns, strict=True))


def _draw_durations(planted: Planted) -> np.ndarray:
    """Returns how long the videos are in ms, [videos] int; longer ones in some groups."""
    group = planted.item_groups(8, 0)
    noise = planted.rng(_OF_VIDEOS, 0).normal(size=len(group))
    return np.exp(9.0 + 0.25 * group + 0.4 * noise).astype(np.int64) // 10 * 10


def _make_users(planted: Planted) -> Iterator[Sequence[Sequence[Any]]]:
    """Yields columns of users."""
    ranges = [planted.user_groups(len(of), salt) for salt, of in enumerate((_FOLLOWS, _FANS), 20)]
    ranges += [planted.user_groups(len(of), salt) for salt, of in enumerate((_FRIENDS, _DAYS), 22)]
    degree = planted.user_groups(len(_DEGREES), 24)
    hot = [planted.user_groups(min(count, 64), n) for n, count in enumerate(_ONE_HOT)]
    users = len(degree)
    for first in range(0, users, planted.CHUNK):
        of = slice(first, min(first + planted.CHUNK, users))
        rng = planted.rng(_OF_USERS, first)
        size = len(degree[of])
        flags = [(rng.random(size) < share).astype(int).tolist() for share in (0.1, 0.02, 0.4)]
        counts = []
        for place, texts in zip(ranges, (_FOLLOWS, _FANS, _FRIENDS, _DAYS), strict=True):
            number = (10.0 ** (place[of] / 2 + 0.3 * rng.random(size))).astype(int)
            counts += [number.tolist(), np.array(texts)[place[of]].tolist()]
        encrypted = []
        for n, values in enumerate(hot):
            texts = values[of].astype(str).tolist()
            # As where a column with gaps was written by Pandas.
            if n in (4, *range(12, 18)):
                gone = rng.random(size) < 0.02
                texts = ["" if g else f"{t}.0" for g, t in zip(gone, texts, strict=True)]
            encrypted.append(texts)
        degrees = np.array(_DEGREES)[degree[of]].tolist()
        yield [list(range(of.start, of.stop)), degrees, *flags, *counts, *encrypted]


def _make_videos(planted: Planted, durations: np.ndarray) -> Iterator[Sequence[Sequence[Any]]]:
    """Yields columns of all videos; there are a few thousand."""
    rng = planted.rng(_OF_VIDEOS, 1)
    count = len(durations)
    author, music = planted.item_groups(count // 4 + 2, 30), planted.item_groups(count // 3 + 2, 31)
    upload, tag = planted.item_groups(len(_UPLOADS), 32), planted.item_groups(_TAGS, 33)
    other_tag = planted.item_groups(_TAGS, 34)
    tags = [
        ("", f"{a}", f"{a},{b}")[kind]
        for kind, a, b in zip(
            rng.choice(3, count, p=(0.05, 0.6, 0.35)), tag, other_tag, strict=True
        )
    ]
    days = rng.integers(40, size=count).tolist()
    begin = datetime.date(2022, 3, 1)
    music_type = [("", "4.0", "9.0")[kind] for kind in rng.choice(3, count, p=(0.1, 0.5, 0.4))]
    lasts = [
        f"{ms}.0" if there else ""
        for ms, there in zip(durations, rng.random(count) < 0.98, strict=True)
    ]
    yield [
        list(range(count)),
        author.tolist(),
        np.where(rng.random(count) < 0.03, "AD", "NORMAL").tolist(),
        [(begin + datetime.timedelta(days=day)).isoformat() for day in days],
        np.array(_UPLOADS)[upload].tolist(),
        ["0.0"] * count,
        lasts,
        np.where(rng.random(count) < 0.8, "720.0", "540.0").tolist(),
        np.where(rng.random(count) < 0.8, "1280.0", "960.0").tolist(),
        (_MUSIC + 7919 * music.astype(np.int64)).tolist(),
        music_type,
        tags,
    ]


def _make_rows(
    planted: Planted,
    drawn: Iterator[Impressions],
    name: str,
    durations: np.ndarray,
    on_rows: Callable[[int], Any],
) -> Iterator[Sequence[Sequence[Any]]]:
    """Yields columns of a log, a chunk of rows at a time."""
    _, begin, days = _LOGS[name]
    stream = list(_LOGS).index(name)
    names = [(begin + datetime.timedelta(days=day)).strftime("%Y%m%d") for day in range(days)]
    midnight = datetime.datetime.combine(begin, datetime.time(), _BEIJING)
    for rows in drawn:
        rng = planted.rng(_OF_ROWS, stream, rows.first)
        size = len(rows)
        ms = rng.integers(days * 86_400_000, size=size)
        day, hour = ms // 86_400_000, ms // 3_600_000 % 24
        signals = _draw_signals(rng, rows.logits)
        played = _draw_played(rng, rows.logits["play"], signals["click"], durations[rows.item])
        long_view = played >= np.minimum(durations[rows.item], _LONG)
        profile = rng.random(size) < 0.02
        stay = np.where(profile, rng.integers(500, 20_000, size=size), 0)
        comment_stay = np.where(signals["comment"], rng.integers(500, 9_000, size=size), 0)
        labels = [signals[of] for of in ("click", "like", "follow", "comment", "forward", "hate")]
        numbers = [*labels, long_view, played, durations[rows.item], stay, comment_stay, profile]
        yield [
            rows.user.tolist(),
            rows.item.tolist(),
            np.array(names)[day].tolist(),
            (100 * hour).tolist(),
            (int(midnight.timestamp() * 1000) + ms).tolist(),
            *(of.astype(np.int64).tolist() for of in numbers),
            [int(name == RANDOM)] * size,
            rng.choice(5, size, p=(0.2, 0.6, 0.1, 0.05, 0.05)).tolist(),
        ]
        on_rows(size)


def _draw_signals(
    rng: np.random.Generator, logits: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns 0 or 1 for each outcome but the play time; only who clicked likes or comments."""
    signals = {
        name: rng.random(len(of)) < expit(of) for name, of in logits.items() if name != "play"
    }
    clicked = signals["click"]
    return {n: of if n in ("click", "hate") else of & clicked for n, of in signals.items()}


def _draw_played(
    rng: np.random.Generator, logit: np.ndarray, clicked: np.ndarray, durations: np.ndarray
) -> np.ndarray:
    """Returns how long each row was played in ms; without a click 0, or less than a second."""
    seen = durations * np.exp(0.5 * logit - 0.3 + 0.5 * rng.normal(size=len(logit)))
    glance = rng.integers(_SHORT, size=len(logit)) * (rng.random(len(logit)) < 0.3)
    return np.where(clicked, seen, glance).astype(np.int64)
