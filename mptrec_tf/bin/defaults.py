"""Shows in --help the defaults that flags take from the configurations."""

from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

# A configuration has no such field.
_NONE = "none"


def show(configurations: Mapping[str, Sequence[Any]]) -> None:
    """Lets --help show the fields of configurations as the defaults of the flags of their names.

    Args:
      configurations: By kind, where kinds differ in their defaults: "30; residual: 15" is 30 for
        every kind but `residual`. Flags without a field of their name stay as they are.
    """
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        texts = {kind: _format_default(name, fields) for kind, fields in configurations.items()}
        if flag.default is None and set(texts.values()) - {_NONE}:
            flag.default_as_str = join_kinds(texts)


def _format_default(name: str, configurations: Sequence[Any]) -> str:
    for configuration in configurations:
        if hasattr(configuration, name):
            value = getattr(configuration, name)
            if isinstance(value, bool):
                return str(value).lower()
            return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _NONE


def join_kinds(texts: Mapping[str, str]) -> str:
    """Returns the first kind's text, and after it those of kinds that differ from it."""
    kinds: dict[str, list[str]] = {}
    for kind, text in texts.items():
        kinds.setdefault(text, []).append(kind)
    first, *others = kinds.items()
    return "; ".join([first[0], *(f"{', '.join(names)}: {text}" for text, names in others)])
