"""Dataclasses as plain data, which JSON and YAML hold, and back: one pair of functions for all.

Tuples become lists and come back as tuples, nested dataclasses likewise; what a field holds is read
off its annotation. A class whose plain form depends on more than its fields, as that of kinds does,
has a method `to_plain` and a class method `from_plain` of its own; these may call `fields_to_plain`
and `fields_from_plain`.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

Made = TypeVar("Made")


def to_plain(value: Any) -> Any:
    """Returns plain data: dicts, lists, text, numbers, truth values and None.

    Args:
      value: A dataclass's instance, or what its fields may hold.

    Raises:
      TypeError: for an object that has no plain form.

    Example:
        >>> to_plain(TrainingConfig(epochs=3))["epochs"]
        3
    """
    if hasattr(value, "to_plain"):
        return value.to_plain()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_to_plain(value)
    if isinstance(value, Mapping):
        return {key: to_plain(of) for key, of in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(to_plain(item) for item in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form: {value!r}.")


def fields_to_plain(value: Any) -> dict[str, Any]:
    """Returns a dataclass's fields as plain data by name, whatever its own `to_plain` does."""
    return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}


def from_plain(kind: type[Made], raw: Any) -> Made:
    """Returns what `to_plain` was given.

    Args:
      kind: A dataclass, or any annotation that a field of one may have.
      raw: Plain data.

    Raises:
      TypeError: for data of another shape: a field that is unknown, missing, or of another type.
    """
    if isinstance(kind, type) and hasattr(kind, "from_plain"):
        return kind.from_plain(raw)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return fields_from_plain(kind, raw)
    return _value(kind, raw)


def fields_from_plain(kind: type[Made], raw: Mapping[str, Any]) -> Made:
    """Returns an instance of a dataclass from its fields, whatever its `from_plain`.

    Raises:
      TypeError: as `from_plain` does.
    """
    return kind(**values_from_plain(kind, raw))


def values_from_plain(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values of some fields of a dataclass by name, for its constructor.

    Raises:
      TypeError: as `from_plain` does.
    """
    if not isinstance(raw, Mapping):
        raise TypeError(f"{kind.__name__} should be a mapping of its fields. Received: {raw!r}.")
    hints = _hints(kind)
    return {k: from_plain(hints[k], v) if k in hints else v for k, v in raw.items()}


@functools.cache
def _hints(kind: type) -> Mapping[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: of for name, of in typing.get_type_hints(kind).items() if name in names}


def _value(kind: Any, raw: Any) -> Any:
    """Plain data as what an annotation says that is no class of ours."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, raw)
    base = origin or kind
    if not isinstance(base, type):  # Any, or a variable
        return raw
    if issubclass(base, str | int | float):
        return _scalar(base, raw)
    if issubclass(base, Mapping):
        of_values = arguments[1] if arguments else Any
        return {key: from_plain(of_values, of) for key, of in _are(raw, Mapping, kind).items()}
    if not issubclass(base, Sequence | set | frozenset):
        return raw
    items = _are(raw, list | tuple, kind)
    if base is tuple and arguments and arguments[-1] is not Ellipsis:
        return tuple(from_plain(of, item) for of, item in zip(arguments, items, strict=True))
    made = (from_plain(arguments[0] if arguments else Any, item) for item in items)
    return (base if base in (list, set, frozenset) else tuple)(made)


def _scalar(kind: type, raw: Any) -> Any:
    # A whole number is a float, too; and a truth value is no number.
    fits = (int, float) if kind is float else kind
    if not isinstance(raw, fits) or (isinstance(raw, bool) and kind is not bool):
        raise TypeError(f"{raw!r} should be {kind.__name__}.")
    return raw


def _are(raw: Any, types_: Any, kind: Any) -> Any:
    if not isinstance(raw, types_):
        raise TypeError(f"{raw!r} should be {kind}.")
    return raw


def _one_of(kinds: Sequence[Any], raw: Any) -> Any:
    if raw is None and type(None) in kinds:
        return None
    reasons = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return from_plain(kind, raw)
        except TypeError as error:
            reasons.append(str(error))
    raise TypeError(" ".join(reasons) or f"{raw!r} should be None.")
