"""Makes flags of dataclasses' fields, so that a new kind with its own fields needs no edit here.

    shape_flags.define(PromptConfig, ResidualConfig)
    ...
    fields = shape_flags.read_fields(PromptConfig, ResidualConfig)

There is a flag for each field that was made by `settings.setting` with a help text. Its type is the
field's annotation: int, float, bool, str, or tuple[int, ...] (whole numbers by commas); bounds and
choices are the setting's. It has no default of its own: the dataclass's default applies, and
`defaults` shows it. Fields of one name in several dataclasses share a flag.
"""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from absl import flags

from mptrec_tf.settings import Setting, get_setting


def define(*classes: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of all fields of some dataclasses.

    Args:
      *classes: The dataclasses.
      flag_values: Where to define them.

    Raises:
      ValueError: if fields of one name differ in type or choices, or a type has no flag.
    """
    defined: dict[str, tuple[Any, tuple[str, ...]]] = {}
    for name, type_, setting in _iterate_fields(classes):
        defined.setdefault(name, (type_, setting.choices))
        if defined[name] != (type_, setting.choices):
            raise ValueError(
                f"fields of one name should have one type and the same choices. Received: {name!r} "
                f"as {defined[name]} and {(type_, setting.choices)}."
            )
        if name not in flag_values:
            _define(name, type_, setting, flag_values)


def read_fields(*classes: type, flag_values: flags.FlagValues = flags.FLAGS) -> dict[str, Any]:
    """Returns the values of the fields whose flags are given, by name."""
    values = {name: (type_, flag_values[name].value) for name, type_, _ in _iterate_fields(classes)}
    return {
        name: tuple(map(int, value)) if type_ == tuple[int, ...] else value
        for name, (type_, value) in values.items()
        if value is not None
    }


def _iterate_fields(classes: tuple[type, ...]) -> Iterator[tuple[str, Any, Setting]]:
    """Yields the name, type and setting of each field that has a flag."""
    for class_ in classes:
        types = typing.get_type_hints(class_)
        for field in dataclasses.fields(class_):
            if get_setting(field).help:
                yield field.name, types[field.name], get_setting(field)


def _define(name: str, type_: Any, setting: Setting, flag_values: flags.FlagValues) -> None:
    text, bounds = setting.help, (setting.low, setting.high)
    if type_ is str and setting.choices:
        flags.DEFINE_enum(name, None, list(setting.choices), text, flag_values)
    elif type_ is str:
        flags.DEFINE_string(name, None, text, flag_values)
    elif type_ is bool:
        flags.DEFINE_bool(name, None, text, flag_values)
    elif type_ is int:
        flags.DEFINE_integer(name, None, text, *bounds, flag_values)
    elif type_ is float:
        flags.DEFINE_float(name, None, text, *bounds, flag_values)
    elif type_ == tuple[int, ...]:
        flags.DEFINE_list(name, None, text, flag_values)
        message = f"--{name} must be positive whole numbers, such as 64,32"
        flags.register_validator(name, _are_positive, message, flag_values)
    else:
        raise ValueError(
            "a flag should be of int, float, bool, str or tuple[int, ...]. "
            f"Received: {name!r} of {type_}."
        )


def _are_positive(values: list[str] | None) -> bool:
    if values is None:
        return True
    return bool(values) and all(value.isdigit() and int(value) > 0 for value in values)
