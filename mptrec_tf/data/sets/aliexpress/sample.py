"""Writes folders of the shape of AliExpress, with planted structure.

A quarter of the rows is of each country, seven tenths of them are for training, and a search has
sixteen rows. What is liked depends on what all countries share, and as much on the country. Clicks
and conversions are more frequent than in the original, so that small samples have some.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv
from scipy.special import expit

from mptrec_tf.data.sets.aliexpress.spec import (
    CATEGORICAL,
    CLICK,
    COLUMNS,
    CONVERSION,
    COUNTRIES,
    NUMERIC,
    SEARCH,
)
from mptrec_tf.data.sets.planted import Impressions, Planted

_TRAIN_SHARE = 0.7
_ROWS_OF_SEARCH = 16
_ROWS_OF_USER, _ROWS_OF_ITEM, _MOST = 32, 20, 100_000
_BIAS = {"NL": -2.0, "ES": -1.8, "FR": -2.1, "US": -2.3}  # of a click
_CONVERSION = -2.0
# Columns of the user and the query, which all rows of a search have in common; others are items'.
_OF_USER = {*CATEGORICAL[:9], *NUMERIC[:23]}
_VALUES = (9, 4, 7, 2, 19, 7, 50, 8, 8, 2, 2, 2, 2, 2, 2, 2)  # of categorical columns
_LEVELS, _ZEROS = 40, 0.2  # of numbers: groups with a value each, and the share that is 0
_ROWS = 200  # keys of generators
_FILES = 2 * len(COUNTRIES)


def write_sample(directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]) -> None:
    """Writes the files of all countries; see `DataSet.write_sample`."""
    users, items = (min(max(rows // of, 2), _MOST) for of in (_ROWS_OF_USER, _ROWS_OF_ITEM))
    planted = Planted(seed, users, items, {CLICK: 0.0, CONVERSION: _CONVERSION, **_BIAS})
    table = _make_columns(planted)
    for number, part in enumerate(np.array_split(np.arange(rows), len(COUNTRIES))):
        country = COUNTRIES[number]
        folder = os.path.join(directory, f"AliExpress_{country}")
        os.mkdir(folder)
        train = round(_TRAIN_SHARE * len(part))
        for place, (split, count) in enumerate((("train", train), ("test", len(part) - train))):
            stream = 2 * number + place
            with open(f"{folder}/{split}.csv", "wb") as file:
                file.write(f"{','.join(COLUMNS)}\n".encode())
                for drawn in planted.draw(count, stream, together=_ROWS_OF_SEARCH):
                    made = _make_rows(planted, drawn, table, country, stream)
                    csv.write_csv(made, file, csv.WriteOptions(include_header=False))
                    on_rows(len(drawn))


def _make_columns(planted: Planted) -> dict[str, np.ndarray]:
    """Returns the values of all users or items, by column."""
    columns = {}
    for place, name in enumerate((*CATEGORICAL, *NUMERIC)):
        make = planted.user_groups if name in _OF_USER else planted.item_groups
        if name in CATEGORICAL:
            columns[name] = make(_VALUES[place], place).astype(np.int16)
        else:
            levels = planted.rng(place).random(_LEVELS)
            levels = np.where(levels < _ZEROS, 0.0, levels.round(6))
            columns[name] = levels[make(_LEVELS, place)]
    return columns


def _make_rows(
    planted: Planted,
    drawn: Impressions,
    columns: dict[str, np.ndarray],
    country: str,
    stream: int,
) -> pa.Table:
    """Returns rows of a file."""
    click_draws, conversion_draws = planted.rng(_ROWS + stream, drawn.first).random((2, len(drawn)))
    own, shared = drawn.logits[country], drawn.logits[CLICK]
    click = click_draws < expit((own + shared + _BIAS[country]) / 2)
    conversion = click & (conversion_draws < expit(drawn.logits[CONVERSION]))
    # Ids that no other file has: alike in all countries, a few would be all on one side of a split.
    searches = (drawn.first + np.arange(len(drawn))) // _ROWS_OF_SEARCH
    made = {SEARCH: 1 + stream + _FILES * searches}
    for name, values in columns.items():
        made[name] = values[drawn.user if name in _OF_USER else drawn.item]
    made |= {CLICK: click.astype(np.int8), CONVERSION: conversion.astype(np.int8)}
    return pa.table({name: made[name] for name in COLUMNS})
