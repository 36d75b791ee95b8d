"""The lines of a drafted spec, by kind of column: the one place that knows what specs can say.

A kind that specs cannot express yet is written as a comment, and its column as what can be
expressed. When a kind lands, its line in `RENDERERS` gets `available=True`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

_PLAIN = re.compile(r"[^\W_](?:[\w .+/-]*[\w.+/-])?|_[\w.+/-]*[\w.+/-]")
_NULLS = {"null", "~", ""}


@dataclasses.dataclass(frozen=True)
class Renderer:
    """Where a kind of column is written.

    Attributes:
      section: str. The spec's list.
      available: bool. Whether specs can express it.
    """

    section: str
    available: bool = True


CATEGORY, NUMBER, PIECES, BAG = "category", "number", "pieces", "bag"
VECTOR, TIME, TASK = "vector", "time", "task"
RENDERERS = {
    CATEGORY: Renderer("categorical"),
    NUMBER: Renderer("numeric"),
    PIECES: Renderer("piecewise"),
    BAG: Renderer("bags"),
    VECTOR: Renderer("vectors"),
    TIME: Renderer("times"),
    TASK: Renderer("tasks"),
}


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a section.

    Attributes:
      kind: str. A name in `RENDERERS`.
      keys: The line's keys and their values, `name` first.
    """

    kind: str
    keys: Mapping[str, object]

    @property
    def section(self) -> str:
        """The section that it is in."""
        return RENDERERS[self.kind].section

    @property
    def is_active(self) -> bool:
        """Whether it is more than a comment."""
        return RENDERERS[self.kind].available

    def write(self, reason: str = "") -> str:
        """Returns the line as YAML."""
        if list(self.keys) == ["name"]:
            item = write_scalar(str(self.keys["name"]))
        else:
            item = write_mapping(self.keys)
        dash = "  - " if self.is_active else "  # - "
        return f"{dash}{item}{f'  # {show(reason)}' if reason else ''}"


def write_mapping(keys: Mapping[str, object]) -> str:
    """Returns a mapping in one line: texts, numbers, lists of texts, and mappings of these."""
    return "{" + ", ".join(f"{write_scalar(k)}: {_write_value(v)}" for k, v in keys.items()) + "}"


def _write_value(value: object) -> str:
    if isinstance(value, Mapping):
        return write_mapping(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return write_scalar(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(write_scalar(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def write_scalar(text: str) -> str:
    """Returns text as a YAML scalar, in quotes where it needs them.

    Example:
      >>> write_scalar("user id"), write_scalar(">50K"), write_scalar("null")
      ('user id', '">50K"', '"null"')
    """
    if _PLAIN.fullmatch(text) and text.isprintable() and text.lower() not in _NULLS:
        return text
    return f'"{"".join(map(_escape, text))}"'


def show(text: str) -> str:
    """Returns text for a comment: in one line, and printable."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
