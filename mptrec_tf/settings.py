"""Fields of configurations that know what they mean, so that flags can be made of them.

    tau: float = setting(150.0, "Temperature of the attention.", low=1e-6)

Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

SETTING = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field means to a user.

    Attributes:
      help: str. What --help says of the flag; without one there is no flag.
      low: Optional smallest value.
      high: Optional largest value.
      choices: All values that the field can have; empty for no such list.
      training_only: bool. Whether the field has no influence on a prediction.
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
) -> Any:
    """Returns a dataclass field with a default; the other arguments are those of `Setting`."""
    metadata = {SETTING: Setting(help, low, high, tuple(choices), training_only)}
    return dataclasses.field(default=default, metadata=metadata)


def get_setting(field: dataclasses.Field) -> Setting:
    """Returns what a field means; an empty `Setting` for a field that was made without one."""
    return field.metadata.get(SETTING, Setting())
