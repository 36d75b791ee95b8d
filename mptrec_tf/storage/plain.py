"""Converts dataclasses to plain data, as in JSON and YAML, and back.

Tuples become lists and come back as tuples; nested dataclasses become mappings. The types to
restore are read from the annotations of the fields. A class whose plain form depends on more than
its fields (a kind) defines `to_plain` and a class method `from_plain`, which may call
`fields_to_plain` and `fields_from_plain`.

A field that is added to a class that is stored, and whose fingerprint is, is made by `added`: while
it has its default, the plain form is as it was without it.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
# Metadata of fields that the plain form leaves out while they have their default, see `added`.
ADDED = {"added": True}


def added(default: Any, kw_only: bool = False) -> Any:
    """Returns a dataclass field that the plain form leaves out while it has its default.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Column:
        ...     name: str
        ...     width: int | None = added(None)
        >>> to_plain(Column("a")), to_plain(Column("a", 8))
        ({'name': 'a'}, {'name': 'a', 'width': 8})
    """
    return dataclasses.field(default=default, kw_only=kw_only, metadata=ADDED)


def to_plain(value: Any) -> Any:
    """Returns plain data: dicts, lists, text, numbers, truth values and None.

    Args:
      value: A dataclass instance, or a value of one of its fields.

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
    """Returns a dataclass's fields as plain data by name, without calling its `to_plain`."""
    plain = {}
    for field in dataclasses.fields(value):
        of = getattr(value, field.name)
        if field.init and not (field.metadata.keys() >= ADDED.keys() and of == field.default):
            plain[field.name] = to_plain(of)
    return plain


def from_plain(kind: type[T], raw: Any) -> T:
    """Restores a value from the plain data that `to_plain` returned.

    Args:
      kind: A dataclass, or any annotation of a field.
      raw: Plain data.

    Raises:
      TypeError: for a field that is unknown, missing, or of another type.

    Example:
        >>> from_plain(TrainingConfig, {"epochs": 3}).epochs
        3
    """
    if isinstance(kind, type) and hasattr(kind, "from_plain"):
        return kind.from_plain(raw)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return fields_from_plain(kind, raw)
    return _restore(kind, raw)


def fields_from_plain(kind: type[T], raw: Mapping[str, Any]) -> T:
    """Returns a dataclass instance from its fields, without calling its `from_plain`.

    Raises:
      TypeError: as `from_plain` does.
    """
    return kind(**values_from_plain(kind, raw))


def values_from_plain(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Restores some fields of a dataclass, by name, for its constructor.

    Raises:
      TypeError: as `from_plain` does.
    """
    if not isinstance(raw, Mapping):
        raise TypeError(f"{kind.__name__} should be a mapping of its fields. Received: {raw!r}.")
    hints = _field_types(kind)
    return {k: from_plain(hints[k], v) if k in hints else v for k, v in raw.items()}


@functools.cache
def _field_types(kind: type) -> Mapping[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: of for name, of in typing.get_type_hints(kind).items() if name in names}


def _restore(kind: Any, raw: Any) -> Any:
    """Restores a value of a type that has no `from_plain` and is not a dataclass."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _restore_union(arguments, raw)
    base = origin or kind
    if not isinstance(base, type):  # Any, or a type variable
        return raw
    if issubclass(base, str | int | float):
        return _check_scalar(base, raw)
    if issubclass(base, Mapping):
        of_values = arguments[1] if arguments else Any
        _check_type(raw, Mapping, kind)
        return {key: from_plain(of_values, of) for key, of in raw.items()}
    if not issubclass(base, Sequence | set | frozenset):
        return raw
    _check_type(raw, list | tuple, kind)
    if base is tuple and arguments and arguments[-1] is not Ellipsis:
        return tuple(from_plain(of, item) for of, item in zip(arguments, raw, strict=True))
    items = (from_plain(arguments[0] if arguments else Any, item) for item in raw)
    return (base if base in (list, set, frozenset) else tuple)(items)


def _check_scalar(kind: type, raw: Any) -> Any:
    # An int counts as a float; a bool does not count as a number.
    fits = (int, float) if kind is float else kind
    if not isinstance(raw, fits) or (isinstance(raw, bool) and kind is not bool):
        raise TypeError(f"{raw!r} should be {kind.__name__}.")
    return raw


def _check_type(raw: Any, types_: Any, kind: Any) -> None:
    if not isinstance(raw, types_):
        raise TypeError(f"{raw!r} should be {kind}.")


def _restore_union(kinds: Sequence[Any], raw: Any) -> Any:
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
