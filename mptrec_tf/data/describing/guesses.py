"""What a column is as a feature: a guess from its name and values, with the reason."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from mptrec_tf.data.describing.columns import Column
from mptrec_tf.data.describing.renderers import (
    BAG,
    CATEGORY,
    NUMBER,
    PIECES,
    TIME,
    VECTOR,
    Line,
)
from mptrec_tf.data.features.piecewise import Piecewise
from mptrec_tf.data.sources.split_rule import DEFAULT_SHARES

_USERS = set(
    "user customer member visitor client account viewer uid reviewer consumer buyer patient "
    "person subscriber player listener reader".split()
)
_ITEMS = set(
    "item movie product sku article video ad advert song track book hotel restaurant listing post "
    "news creative campaign asin isbn doc document store shop merchant brand seller author artist "
    "channel publisher site page query category".split()
)
_CODES = set(
    "id code type class kind group category zip zipcode postcode postal region country state city "
    "gender sex lang language device os browser model version channel segment status flag".split()
)
_AMOUNTS = set(
    "age price cost amount count num number qty quantity total sum hours hour days weeks months "
    "minutes size length width height income balance gain gains loss losses salary wage wages "
    "distance duration score rate ratio percent avg mean max min n pages views visits".split()
)
_TIMES = set("time timestamp ts date datetime day at created updated when dt".split())
_WEIGHTS = set("sample instance row case example importance survey".split())
# Distinct values.
_FEW, _MANY, _VERY_MANY = 100, 1000, 50_000
_MOSTLY, _NEARLY_ALL = 0.5, 0.9
_TRAIN = DEFAULT_SHARES[0]
# A value that comes so rarely, on average, tells a model little.
_LEAST_REPEATS = 1.5
_MIN_COUNTS, _BUCKETS = (10, 5, 2), 100_000
_PIECES = Piecewise.pieces  # that a number has if the spec does not say
_SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0)


@dataclasses.dataclass(frozen=True)
class Guess:
    """What a column may be.

    Attributes:
      column: The column.
      what: str. In a few words, for the table.
      reason: str. Why.
      lines: Its lines in the spec; none: it is left out.
      instead: Lines that stand in while one of `lines` cannot be expressed.
      is_user: bool. Whether it seems to be the user's id.
      is_weight: bool. Whether it seems to be a weight of the row.
    """

    column: Column
    what: str
    reason: str
    lines: Sequence[Line] = ()
    instead: Sequence[Line] = ()
    is_user: bool = False
    is_weight: bool = False

    @property
    def active(self) -> Sequence[Line]:
        """The lines that the spec holds, not as comments."""
        if all(line.is_active for line in self.lines):
            return self.lines
        return [line for line in self.lines if line.is_active] or self.instead

    @property
    def comments(self) -> Sequence[Line]:
        """The lines that specs cannot express yet."""
        return [line for line in self.lines if not line.is_active]


def tokens(name: str) -> set[str]:
    """Returns the words of a column's name, in lower case.

    Example:
      >>> sorted(tokens("userId")), sorted(tokens("movieid")), sorted(tokens("hours-per-week"))
      (['id', 'user'], ['id', 'movie', 'movieid'], ['hours', 'per', 'week'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = {word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word}
    return words | {
        part
        for word in words
        if word.endswith("id") and word[:-2] in _USERS | _ITEMS
        for part in (word[:-2], "id")
    }


def guess_feature(column: Column, others: Sequence[Column]) -> Guess:
    """Returns what a column is, given the columns before it."""
    for rule in _RULES:
        guess = rule(column, others)
        if guess is not None:
            return guess
    what = "numbers" if column.is_number else "texts"
    return _category(column, "", f"{column.distinct:,} different {what}")


def _leave_out(column: Column, what: str, reason: str) -> Guess:
    return Guess(column, what, reason)


def _category(column: Column, what: str, reason: str, **fields: bool) -> Guess:
    line = _category_line(column)
    if "hash_buckets" in line.keys:
        reason += "; so many are hashed"
    elif "min_count" in line.keys:
        reason += f"; those in fewer than {line.keys['min_count']} rows share one id"
    if column.missing:
        share = f"{column.missing / column.rows:.1%}"
        reason += f"; {share} missing ({_quote(column.spellings[0])}), an id of their own"
    return Guess(column, what or "category", reason, [line], **fields)


def _category_line(column: Column) -> Line:
    keys: dict[str, object] = {"name": column.name}
    if column.distinct > _VERY_MANY:
        keys["hash_buckets"] = _BUCKETS
    elif column.distinct > _FEW:
        keys["min_count"] = _choose_min_count(column)
    return Line(CATEGORY, keys)


def _choose_min_count(column: Column) -> int:
    """Returns the largest count that leaves most rows a value with an id of its own."""
    if not column.is_all:
        return max(_MIN_COUNTS)  # all rows have more of each value
    counts = np.array(list(column.counts.values()))
    counts = counts * _TRAIN  # of the training rows alone
    fitting = [n for n in _MIN_COUNTS if counts[counts >= n].sum() > _NEARLY_ALL * counts.sum()]
    return max(fitting, default=min(_MIN_COUNTS))


def _number_lines(column: Column) -> list[Line]:
    """Returns the lines of a number: as it is, and in pieces, which a model learns sooner to bend.

    Standard scores, as the scale of [0, 1] leaves most numbers little variance, and few steps in
    which it could matter.
    """
    scale = "log" if column.is_long_tailed else "standard"
    number: dict[str, object] = {"name": column.name, "scale": scale}
    if column.missing:
        number["missing"] = "mean"
    pieces: dict[str, object] = {"name": column.name}
    if column.distinct <= _PIECES:
        pieces["pieces"] = max(column.distinct - 1, 2)  # a knot for each value
    if scale == "log":
        pieces["scale"] = scale
    return [Line(NUMBER, number), Line(PIECES, pieces)]


# Rules, in their order: each returns a guess, or None where it does not apply.


def _of_nothing(column: Column, others: Sequence[Column]) -> Guess | None:
    if not column.known:
        return _leave_out(column, "empty", "no row has a value")
    if column.distinct == 1 and not column.missing:
        value = column.most_frequent[0]
        return _leave_out(column, "constant", f"all rows have {_quote(value)}")
    for other in others:
        if other.known and other.values == column.values:
            return _leave_out(column, "duplicate", f"the same values as {other.name}")
    return None


def _of_weights(column: Column, others: Sequence[Column]) -> Guess | None:
    words = tokens(column.name)
    if not (words & {"weight", "weights"} and words & _WEIGHTS and column.is_number):
        return None
    if column.numbers[0][0] < 0:
        return None
    reason = "named like a weight of the row; no feature"
    return Guess(column, "weight", reason, is_weight=True)


def _of_lists(column: Column, others: Sequence[Column]) -> Guess | None:
    if not column.is_list:
        return None
    if not column.size:
        return _of_bags(column, others)
    reason = f"lists of {column.size} decimal numbers each, as embeddings are"
    return Guess(
        column, "vector", reason, [Line(VECTOR, {"name": column.name, "size": column.size})]
    )


def _of_times(column: Column, others: Sequence[Column]) -> Guess | None:
    kind, named = column.time_kind, bool(tokens(column.name) & _TIMES)
    if kind == "other dates":
        return _leave_out(
            column, "time", f"dates such as {_quote(column.most_frequent[0])}; write them as "
            "2024-01-31 or 2024-01-31T12:30"
        )  # fmt: skip
    if kind is None or (kind != "dates" and not named and column.distinct < _FEW):
        return None
    of = "dates and times" if kind == "dates" else f"{kind} since 1970"
    of = "dates as yyyymmdd" if kind == "yyyymmdd" else of
    keys: dict[str, object] = {"name": column.name}
    if kind in ("dates", "yyyymmdd") and not any(":" in value for value in column.counts):
        keys["parts"] = ["weekday"]  # days have no hour
    return Guess(column, "time", of, [Line(TIME, keys)])


def _of_bags(column: Column, others: Sequence[Column]) -> Guess | None:
    bag = column.bag
    if bag is None:
        return None
    separator = {} if column.is_list else {"separator": bag.separator}
    between = "lists" if column.is_list else f"{_quote(bag.separator)} between values"
    reason = f"{between}: {bag.mean:.1f} of {bag.distinct:,} per row"
    weights: dict[str, object] = {"weights": True} if bag.weighted else {}
    if bag.weighted:
        reason += ", with weights"
    return Guess(column, "bag", reason, [Line(BAG, {"name": column.name, **separator, **weights})])


def _of_ids(column: Column, others: Sequence[Column]) -> Guess | None:
    words = tokens(column.name)
    whole = column.is_integer or not column.is_number
    if not whole or column.distinct <= 2 or column.has_decimal_comma or column.has_unit:
        return None
    users = words & _USERS and (
        "id" in words or words <= _USERS or (column.distinct > _FEW and "uid" in words)
    )
    kind = "user id" if users else "item id" if words & _ITEMS and "id" in words else ""
    if kind and _repeats_enough(column):
        reason = f"named like {'a user' if users else 'an item'}'s id, {column.distinct:,} of them"
        return _category(column, kind, reason, is_user=bool(users))
    if kind and column.rows >= _FEW:
        reason = f"named like an id, {column.distinct:,} of them in {column.known:,} rows"
        keys = {"name": column.name, "hash_buckets": _BUCKETS}
        lines = [Line(CATEGORY, keys)] if users or column.repeats > 1.1 else []
        return Guess(column, kind, reason, lines, is_user=bool(users))
    if column.distinct == column.rows and column.rows > 2:
        if column.is_integer and column.is_sorted and (column.density > _MOSTLY or "id" in words):
            return _leave_out(column, "row number", "it counts the rows")
        if "id" in words or (not column.is_number and column.mean_words < 2):
            return _leave_out(column, "row id", "every row has a value of its own")
    if "id" in words and not _repeats_enough(column):
        return _leave_out(
            column, "row id", f"{column.distinct:,} different ids in {column.known:,} rows"
        )
    return None


def _repeats_enough(column: Column) -> bool:
    return column.repeats >= _LEAST_REPEATS or column.distinct <= _FEW


def _of_texts(column: Column, others: Sequence[Column]) -> Guess | None:
    if column.is_number:
        return None
    if column.has_decimal_comma:
        reason = "numbers with a decimal comma, where others have a point: write them alike"
        return _leave_out(column, "number", reason)
    if column.has_unit:
        value = _quote(column.most_frequent[0])
        return _leave_out(column, "number", f"numbers written as {value}: write plain numbers")
    if column.not_numbers and column.distinct > _FEW:
        share = 1 - sum(column.counts[v] for v in column.not_numbers) / column.known
        others_ = ", ".join(map(_quote, column.not_numbers[:3]))
        return _category(column, "category", f"{share:.1%} are numbers, but not {others_}")
    if not _repeats_enough(column):
        words = column.mean_words
        if words >= 4:
            reason = f"text, {words:.0f} words each, hardly one twice"
        else:
            reason = f"{column.distinct:,} different texts in {column.known:,} rows"
        return _leave_out(column, "text", reason)
    return None


def _of_numbers(column: Column, others: Sequence[Column]) -> Guess | None:
    if not column.is_number or column.distinct <= 2:
        return None
    words = tokens(column.name)
    if column.has_leading_zeros:
        return _category(column, "category", "digits with leading zeros, such as postcodes")
    if column.is_integer and words & _CODES and not words & _AMOUNTS:
        return _category(column, "category", f"named like a code, {column.distinct:,} of them")
    largest = max(abs(column.numbers[0][0]), abs(column.numbers[0][-1]))
    dense = column.distinct > _FEW and column.density > _MOSTLY and not _falls(column)
    if column.is_integer and not words & _AMOUNTS and (largest > 1e9 or dense):
        if not _repeats_enough(column):
            return _leave_out(column, "id", f"{column.distinct:,} different whole numbers, as ids")
        reason = f"{column.distinct:,} whole numbers without gaps between them, as ids are"
        if largest > 1e9:
            reason = f"{column.distinct:,} very large whole numbers, as ids are"
        return _category(column, "id", reason)
    return _amount(column)


def _falls(column: Column) -> bool:
    """Whether small numbers are much more frequent than large ones, as with amounts."""
    low, high = column.numbers[0][0], column.numbers[0][-1]
    return column.quantile(0.5) - low < 0.1 * (high - low)


def _amount(column: Column) -> Guess:
    lines, category = _number_lines(column), _category_line(column)
    values = show_range(column)
    value, share = column.most_frequent
    words = tokens(column.name)
    mark = [v for v in _SENTINELS if v == column.numbers[0][0] and column.quantile(0.05) > v]
    hint = f"; {mark[0]:g} may mark a missing value" if mark else ""
    if column.missing:
        what = f"{values}, {column.missing / column.rows:.1%} missing"
        return Guess(column, "number", what + hint, lines)
    few = column.is_integer and column.distinct <= _FEW
    if few and not words & _AMOUNTS:
        reason = f"{values}: a code or an amount? Both help, or strike one"
        return Guess(column, "number or code", reason + hint, [*lines, category])
    if share > _MOSTLY:
        reason = f"{values}, {share:.0%} are {value}: a category, too"
        # Where the other values come again and again, they have ids, and pieces of them would be of
        # few rows each.
        others = (column.known - column.counts[value]) / (column.distinct - 1)
        lines = lines if others < _LEAST_REPEATS else lines[:1]
        return Guess(column, "number", reason + hint, [*lines, category])
    return Guess(column, "number", values + hint, lines)


def show_range(column: Column) -> str:
    """Returns the smallest and the largest number of a column, for people."""
    ends = (column.numbers[0][0], column.numbers[0][-1])
    return " to ".join(f"{n:,.0f}" if n == int(n) and abs(n) < 1e15 else f"{n:,.6g}" for n in ends)


def _quote(value: str) -> str:
    short = value if len(value) <= 30 else value[:27] + "..."
    return f"'{short}'"


_RULES: tuple[Callable[[Column, Sequence[Column]], Guess | None], ...] = (
    _of_nothing,
    _of_lists,
    _of_weights,
    _of_times,
    _of_ids,
    _of_bags,
    _of_texts,
    _of_numbers,
)
