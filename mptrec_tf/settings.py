"""Dataclass fields of configurations with help, limits and choices, from which flags are made.

    tau: float = setting(150.0, "Temperature of the attention.", low=1e-6)

Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

SETTING = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """Describes a field to users.

    Attributes:
      help: str. The flag's text in --help; a field without one has no flag.
      low: Optional smallest value.
      high: Optional largest value.
      choices: All allowed values; empty: any value.
      training_only: bool. Whether the field has no influence on predictions.
    """

    help: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    training_only: bool = False


def setting(
    default: Any,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    training_only: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Any:
    """Returns a dataclass field with a default.

    `more` is further metadata, such as `storage.plain.ADDED`; the other arguments are those of
    `Setting`.
    """
    metadata = {SETTING: Setting(help, low, high, tuple(choices), training_only)}
    return dataclasses.field(default=default, metadata=metadata | dict(more or {}))


def get_setting(field: dataclasses.Field) -> Setting:
    """Returns a field's `Setting`; an empty one for a field that was made without one."""
    return field.metadata.get(SETTING, Setting())
