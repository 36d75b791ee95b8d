"""Widths of single features: one embedding table for each width."""

from collections.abc import Iterator, Sequence

from mptrec_tf.data.features.base import Feature
from mptrec_tf.data.features.input_shape import Table


def find_width_problem(feature: Feature, width: int | None) -> Iterator[str]:
    """Yields a sentence if a feature's width is not one."""
    if width is not None and width < 1:
        yield f"{feature.name!r}: width must be 1 or more, not {width}"


def group_by_width(
    widths: Sequence[int | None], ranges: Sequence[tuple[int, int, int]]
) -> tuple[Table, ...]:
    """Returns one table for each width, the model's own (None) first, then in ascending order.

    Args:
      widths: [n]. The width of each column.
      ranges: (column, first id, number of ids) of each column; columns may share their ids.

    Returns:
      The tables; none if all columns have the model's width.

    Example:
      >>> group_by_width([None, 8], [(0, 0, 3), (1, 3, 5)])[1]
      Table(width=8, rows=5, columns=(1,), shifts=(-3,))
    """
    if not any(widths):
        return ()
    ids_of = {column: (first, count) for column, first, count in ranges}
    tables = []
    for width in sorted(set(widths), key=lambda width: width or 0):
        columns = [column for column, of in enumerate(widths) if of == width]
        starts, rows = {}, 0
        for first, count in sorted({ids_of[column] for column in columns}):
            starts[first] = rows
            rows += count
        firsts = [ids_of[column][0] for column in columns]
        shifts = tuple(starts[first] - first for first in firsts)
        tables.append(Table(width, rows, tuple(columns), shifts))
    return tuple(tables)
