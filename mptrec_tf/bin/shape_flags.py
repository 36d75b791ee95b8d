"""Flags made of dataclasses' fields, so that a new kind with fields of its own needs no edit here.

    shape_flags.define(PromptConfig, ResidualConfig)
    ...
    fields = shape_flags.given(PromptConfig, ResidualConfig)

There is a flag for each field that was made by `settings.setting` with a help text. Its type is the
field's annotation: int, float, bool, str, or tuple[int, ...] (whole numbers by commas); bounds and
choices are the setting's. Its default is none: what is not given is as the dataclass has it, and
`defaults` shows it. Fields of one name in several dataclasses share a flag.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from mptrec_tf.settings import Setting, setting_of


def define(*classes: type) -> None:
    """Defines the flags of all fields of some dataclasses.

    Raises:
      ValueError: if fields of one name differ in type or choices, or a type has no flag.
    """
    made: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for name, type_, setting in _fields(classes):
        made.setdefault(name, (type_, setting.choices))
        if made[name] != (type_, setting.choices):
            raise ValueError(
                f"fields of one name should have one type and the same choices. Received: {name!r} "
                f"as {made[name]} and {(type_, setting.choices)}."
            )
        if name not in flags.FLAGS:
            _definition(type_, setting)(name, setting)


def given(*classes: type) -> dict[str, Any]:
    """Returns the fields that the flags give, as values of the fields."""
    values = {name: (type_, flags.FLAGS[name].value) for name, type_, _ in _fields(classes)}
    return {
        name: tuple(map(int, value)) if type_ == tuple[int, ...] else value
        for name, (type_, value) in values.items()
        if value is not None
    }


def _fields(classes: tuple[type, ...]) -> Iterator[tuple[str, Any, Setting]]:
    """The name, type and setting of each field that has a flag."""
    for class_ in classes:
        types = typing.get_type_hints(class_)
        for field in dataclasses.fields(class_):
            if setting_of(field).help:
                yield field.name, types[field.name], setting_of(field)


def _definition(type_: Any, setting: Setting) -> Callable[[str, Setting], Any]:
    if type_ is str and setting.choices:
        return lambda name, s: flags.DEFINE_enum(name, None, list(s.choices), s.help)
    definitions = {
        bool: lambda name, s: flags.DEFINE_bool(name, None, s.help),
        int: lambda name, s: flags.DEFINE_integer(name, None, s.help, s.low, s.high),
        float: lambda name, s: flags.DEFINE_float(name, None, s.help, s.low, s.high),
        str: lambda name, s: flags.DEFINE_string(name, None, s.help),
        tuple[int, ...]: _define_whole_numbers,
    }
    if type_ not in definitions:
        raise ValueError(f"a flag should be of one of {list(definitions)}. Received: {type_}.")
    return definitions[type_]


def _define_whole_numbers(name: str, setting: Setting) -> None:
    """Defines a flag of positive whole numbers by commas."""
    flags.DEFINE_list(name, None, setting.help)
    flags.register_validator(
        name, _are_positive, message=f"--{name} must be positive whole numbers, such as 64,32"
    )


def _are_positive(values: list[str] | None) -> bool:
    if values is None:
        return True
    return bool(values) and all(value.isdigit() and int(value) > 0 for value in values)
