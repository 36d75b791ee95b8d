r"""Writes files of the shape of Ali-CCP, with planted structure.

Four fifths of the rows are for training. A user has a row of common features in each pair of files,
and fifty impressions in the mean. Clicks and conversions are more frequent than in the original,
so that small samples have some; one row in ten thousand has a conversion without a click, as the
original has. Lists of earlier behaviour, which are not read, have a few entries instead of
hundreds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from mptrec_tf.data.sets.ali_ccp.spec import SCENE, USER_FIELDS
from mptrec_tf.data.sets.planted import Impressions, Planted

_TRAIN_SHARE = 0.8
_ROWS_OF_USER, _ROWS_OF_ITEM, _MOST_ITEMS = 50, 20, 1_000_000
_CLICK, _CONVERSION, _BSI = -2.5, -1.5, 0.5
_MISTAKEN = 1e-4  # the share of rows with a conversion and no click
_SCENES = np.array(["9351665", "9351666", "9351667"])
_VALUE = "\x03"
_USERS, _ROWS = 100, 200  # keys of generators
_KINDS = 60  # of items
# Values of the fields of users.
_USER_VALUES = {"121": 97, "122": 13, "124": 2, "125": 7, "126": 3, "127": 3, "128": 2, "129": 4}
# Fields that combine a user's behaviour with a field of the item.
_COMBINED_OF = {"508": "206", "509": "207", "702": "216", "853": "206"}
_MISSING = {"853": 0.3, "702": 0.1, "127": 0.05}  # shares of rows without the field
_BEHAVIOUR = ("109_14", "110_14", "127_14", "150_14")
_STEP = 10_000_000  # between the features of two fields


def write_sample(directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]) -> None:
    """Writes the four files; see `DataSet.write_sample`."""
    users, items = max(rows // _ROWS_OF_USER, 2), max(rows // _ROWS_OF_ITEM, 2)
    outcomes = {"click": _CLICK, "conversion": _CONVERSION, "bsi": _BSI}
    planted = Planted(seed, users, min(items, _MOST_ITEMS), outcomes)
    train = round(_TRAIN_SHARE * rows)
    fields = _make_item_fields(planted)
    for stream, (of, count) in enumerate((("train", train), ("test", rows - train))):
        with open(f"{directory}/common_features_{of}.csv", "w", encoding="utf-8") as file:
            for lines in _make_users(planted, users, stream):
                file.writelines(lines)
        with open(f"{directory}/sample_skeleton_{of}.csv", "w", encoding="utf-8") as file:
            for drawn in planted.draw(count, stream):
                file.writelines(_make_rows(planted, drawn, fields, stream, 1 + stream * train))
                on_rows(len(drawn))


def _common_ids(users: np.ndarray, stream: int) -> list[str]:
    """Returns 16 hexadecimal digits for each user, other ones in the other files."""
    mixed = (users.astype(np.uint64) * np.uint64(2) + np.uint64(stream + 1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return [f"{number:016x}" for number in mixed.tolist()]


def _feature(field: str, values: np.ndarray) -> list[str]:
    """Returns entries without a weight: each field has ids of its own."""
    start = int(field) * _STEP
    return [f"{field}\x02{start + value}\x031.0" for value in values.tolist()]


def _make_users(planted: Planted, users: int, stream: int) -> Iterator[list[str]]:
    """Yields lines of common features."""
    groups = {
        field: planted.user_groups(count, int(field)) for field, count in _USER_VALUES.items()
    }
    for first in range(0, users, planted.CHUNK):
        of = np.arange(first, min(first + planted.CHUNK, users))
        rng = planted.rng(_USERS + stream, first)
        columns = [_feature(USER_FIELDS[0], of)]
        columns += [_feature(field, groups[field][of]) for field in USER_FIELDS[1:]]
        _leave_out(rng, USER_FIELDS, columns)
        for field in _BEHAVIOUR:
            weights = np.log1p(rng.integers(1, 20, size=(3, len(of)))).round(5)
            ids = rng.integers(_STEP, size=(3, len(of)))
            columns += [
                [f"{field}\x02{i}\x03{w}" for i, w in zip(a, b, strict=True)]
                for a, b in zip(ids.tolist(), weights.tolist(), strict=True)
            ]
        yield _join_lines([_common_ids(of, stream)], columns)


def _leave_out(rng: np.random.Generator, fields: Sequence[str], columns: list[list[str]]) -> None:
    """Empties entries of the fields that rows may lack."""
    for place, field in enumerate(fields):
        if field in _MISSING:
            lacks = rng.random(len(columns[place])) < _MISSING[field]
            columns[place] = [
                "" if lack else entry for lack, entry in zip(lacks, columns[place], strict=True)
            ]


def _join_lines(starts: Sequence[Sequence[str]], columns: Sequence[Sequence[str]]) -> list[str]:
    """Returns lines: what they start with, the number of entries, and the entries."""
    lines = []
    for start, entries in zip(zip(*starts, strict=True), zip(*columns, strict=True), strict=True):
        there = [entry for entry in entries if entry]
        lines.append(f"{','.join(start)},{len(there)},{chr(1).join(there)}\n")
    return lines


def _make_item_fields(planted: Planted) -> dict[str, np.ndarray]:
    """Returns the values of all items [items] by field: items of a category are alike."""
    kind = planted.item_groups(_KINDS, 206)
    item = np.arange(len(kind))
    return {
        "205": item,
        "206": kind * 100 + item % 100,
        "207": item // 5,
        "216": kind * 1000 + item // 7 % 1000,
    }


def _make_rows(
    planted: Planted,
    rows: Impressions,
    fields: Mapping[str, np.ndarray],
    stream: int,
    first_id: int,
) -> list[str]:
    """Returns lines of a skeleton."""
    rng = planted.rng(_ROWS + stream, rows.first)
    draws = rng.random((4, len(rows)))
    click = draws[0] < expit(rows.logits["click"])
    conversion = click & (draws[1] < expit(rows.logits["conversion"]))
    conversion |= draws[2] < _MISTAKEN
    scene = (draws[3] >= expit(rows.logits["bsi"])) * (1 + rng.integers(2, size=len(rows)))
    of_row = {field: values[rows.item] for field, values in fields.items()}
    columns = [_feature(field, values) for field, values in of_row.items()]
    weights = np.log1p(rng.integers(1, 20, size=len(rows))).round(5).tolist()
    names = [*fields]
    for field, like in _COMBINED_OF.items():
        entries = _feature(field, of_row[like])
        names.append(field)
        columns.append(
            [f"{e.rpartition(_VALUE)[0]}{_VALUE}{w}" for e, w in zip(entries, weights, strict=True)]
        )
    _leave_out(rng, names, columns)
    columns.append([f"{SCENE}\x02{value}\x031.0" for value in _SCENES[scene]])
    columns.append(_feature("210", of_row["206"] % 997))  # several in the original; not read
    ids = [str(first_id + rows.first + row) for row in range(len(rows))]
    labels = [np.char.mod("%d", of).tolist() for of in (click, conversion)]
    return _join_lines([ids, *labels, _common_ids(rows.user, stream)], columns)
