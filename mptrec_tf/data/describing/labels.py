"""Which columns may be labels, and the tasks that they make."""

import dataclasses
import re
from collections.abc import Sequence

from mptrec_tf.data.describing.columns import Column
from mptrec_tf.data.describing.guesses import show_range, tokens
from mptrec_tf.data.describing.renderers import TASK, Line

_EVENTS = set(
    "click clicks clicked clk buy buys bought purchase purchased conversion converted "
    "convert label target y churn churned fraud install installed subscribed liked like "
    "likes follow followed share shared comment commented favorite favourite favorited cart "
    "finish finished completed survived revenue paid refund refunded opened sold spam "
    "response responded engaged reply retweet outcome order ordered success".split()
)
_RATINGS = {"rating", "ratings", "star", "stars"}
_NUMBERS = set(
    "watch watched dwell listen listened playtime ctr cvr gmv ltv spend target label y "
    "revenue".split()
)
_YES = {"1", "true", "t", "yes", "y", "positive", "pos", "+1", "1.0", "ja", "oui", "si"}
_SMALL = 10


@dataclasses.dataclass(frozen=True)
class TaskGuess:
    """A column that may be a label.

    Attributes:
      column: The column.
      what: str. In a few words, for the table.
      reason: str. Why.
      lines: The tasks that it makes.
    """

    column: Column
    what: str
    reason: str
    lines: Sequence[Line]


def guess_tasks(columns: Sequence[Column]) -> list[TaskGuess]:
    """Returns the tasks of a sample; there is at least one where a column has two values.

    Args:
      columns: All columns, in their order.
    """
    useful = [c for c in columns if c.name and c.distinct >= 2 and not c.is_list]
    unique = [c for i, c in enumerate(useful) if all(c.values != o.values for o in useful[:i])]
    named = [c for c in unique if _is_named(c)]
    found = [*named]
    reason = "named like a label"
    if not found and unique:
        last = useful[-1] if useful[-1] in unique else unique[-1]
        two = [c for c in unique if c.distinct == 2]
        few = [c for c in unique if c.distinct <= 2 * _SMALL and c.time_kind is None]
        if last.distinct == 2:
            found, reason = [last], "two values in the last column"
        elif two:
            found, reason = two[-1:], "NO COLUMN LOOKS LIKE A LABEL; one with two values"
        else:
            found = few[-1:] or [last]
            reason = "NO COLUMN LOOKS LIKE A LABEL; the last one"
            reason += " with few values" if few else ""
    guesses, taken = [], set()
    for column in found:
        name = _make_name(column.name, taken)
        taken.add(name)
        guesses.append(_make_tasks(column, name, reason, [c for c in found if c is not column]))
    return guesses


def _is_named(column: Column) -> bool:
    words = tokens(column.name)
    if words & {"id", "time", "date", "timestamp", "ts", "at"} and not words & _NUMBERS:
        return False
    if column.distinct == 2:
        return bool(words & _EVENTS)
    if not column.is_number:
        return bool(words & {"label", "target"}) and column.distinct <= _SMALL
    return bool(words & (_RATINGS | _NUMBERS))


def _make_name(column: str, taken: set[str]) -> str:
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_") or "task"
    name = name if name[0].isalpha() else f"task_{name}"
    while name in taken:
        name += "_"
    return name


def _make_tasks(column: Column, name: str, reason: str, others: Sequence[Column]) -> TaskGuess:
    where = _find_condition(column, others)
    keys = {"where": {where[0].name: where[1]}} if where else {}
    lacking = column.missing
    if where:
        reason += f"; rows with another {where[0].name} have none"
        lacking = sum(
            n not in column.counts for n, c in zip(column.values, where[0].values, strict=True)
            if c == where[1]
        )  # fmt: skip
    if lacking:
        keys["missing"] = "skip"
        reason += f"; {column.missing / column.rows:.1%} missing: these rows have no label"
    if column.distinct == 2:
        return _binary(column, name, reason, keys)
    if column.is_number:
        return _numeric(column, name, reason, keys)
    value, share = column.most_frequent
    keys = {"name": name, "kind": "classes", "label": column.name, **keys}
    reason = f"{reason}; {column.distinct:,} classes, {share:.0%} are {value}"
    return TaskGuess(column, "label", reason, [Line(TASK, keys)])


def _binary(column: Column, name: str, reason: str, keys: dict[str, object]) -> TaskGuess:
    (first, rows), (second, fewer) = column.counts.most_common()
    positive, negative, count = second, first, fewer
    for value, other, n in ((first, second, rows), (second, first, fewer)):
        if value.casefold() in _YES or (value.startswith(">") and not other.startswith(">")):
            positive, negative, count = value, other, n
    line = {"name": name, "label": column.name, "positive": positive, "negative": negative}
    reason = f"{reason}; {count / column.known:.1%} are {positive}"
    return TaskGuess(column, "label", reason, [Line(TASK, {**line, **keys})])


def _numeric(column: Column, name: str, reason: str, keys: dict[str, object]) -> TaskGuess:
    line: dict[str, object] = {"name": name, "kind": "regression", "label": column.name}
    if column.numbers[0][0] >= 0 and column.is_long_tailed:
        line["scale"] = "log"
    lines = [Line(TASK, {**line, **keys})]
    named = tokens(column.name) & (_RATINGS | _NUMBERS)
    if (not named or named & _RATINGS) and column.distinct <= 2 * _SMALL:
        above = column.quantile(0.5) - 0.5 if column.is_integer else column.quantile(0.5)
        middle = (column.numbers[0][0] + column.numbers[0][-1]) / 2
        above = max(above, middle)
        if above < column.numbers[0][-1]:
            high = {"name": f"high_{name}", "label": column.name, "above": float(above)}
            lines.append(Line(TASK, {**high, **keys}))
    return TaskGuess(column, "label", f"{reason}; {show_range(column)}", lines)


def _find_condition(column: Column, others: Sequence[Column]) -> tuple[Column, str] | None:
    """Returns the label, and its value, that rows need to have a label of this column.

    Other rows have no value, or all have 0 where the label is a number of more values.
    """
    best: tuple[Column, str] | None = None
    for other in others:
        if other.distinct != 2 or other.missing:
            continue
        value = next((v for v in other.counts if v.casefold() in _YES), None)
        if value is None or (best and other.counts[value] >= best[0].counts[best[1]]):
            continue
        without = {v for v, o in zip(column.values, other.values, strict=True) if o != value}
        have = {v for v in without if v in column.counts}
        zeros = (
            column.is_number and column.distinct > 2 and have and all(float(v) == 0 for v in have)
        )
        if not have or (zeros and len(without) == len(have)):
            best = (other, value)
    return best


def find_nested(tasks: Sequence[TaskGuess]) -> list[tuple[Column, Column]]:
    """Returns pairs of labels: rows with the first event always have the second one, as clicks."""
    pairs = []
    events = [
        (task.column, str(line.keys["positive"]))
        for task in tasks
        for line in task.lines
        if "positive" in line.keys and task.column.distinct == 2
    ]
    for a, a_value in events:
        for b, b_value in events:
            if a is not b and a.counts[a_value] < b.counts[b_value]:
                of = {y for x, y in zip(a.values, b.values, strict=True) if x == a_value}
                if of == {b_value}:
                    pairs.append((a, b))
    return pairs
