"""Reads a DatasetSpec from YAML, keeping the line of everything for the error messages."""

import os
from collections.abc import Mapping
from typing import Any

import yaml

from mptrec_tf.data.spec import SCALES, Categorical, DatasetSpec, Numeric, Task, problems
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

_TEXT, _WHOLE, _NUMBER, _TRUTH = "text", "a whole number", "a number", "true or false"
_VALUES, _ONE_VALUE, _TEXTS = "a value or a list of them", "a single value", "a list of texts"
_FIELDS = {
    Categorical: {"name": _TEXT, "min_count": _WHOLE, "hash_buckets": _WHOLE, "exact": _TRUTH},
    Numeric: {"name": _TEXT, "scale": _TEXT},
    Task: {
        "name": _TEXT,
        "label": _TEXT,
        "positive": _VALUES,
        "negative": _VALUES,
        "above": _NUMBER,
        "known_probability": _TEXT,
        "exact": _TRUTH,
    },
}
_REQUIRED = {Categorical: ("name",), Numeric: ("name",), Task: ("name", "label")}
_SECTIONS = {"categorical": Categorical, "numeric": Numeric, "tasks": Task}
_TEXTS_OF_SPEC = {"name": _TEXT, "user_id": _TEXT, "weight": _TEXT, "missing_values": _TEXTS}
_FORMAT = {"delimiter": _TEXT, "escape": _TEXT, "header": _TEXTS}
_TOP = ("name", *_SECTIONS, *list(_TEXTS_OF_SPEC)[1:], *_FORMAT)


class _Unchecked(DatasetSpec):
    """A spec whose problems are still to be listed, so that each can be given its line."""

    def __post_init__(self) -> None:
        """Leaves the checking to `parse`."""


class _Reader:
    def __init__(self, file: str):
        self.file = file
        self.found: list[tuple[int, str]] = []
        self.lines: dict[int, int] = {}

    def problem(self, line: int, text: str) -> None:
        self.found.append((line, text))

    def mapping(self, node: yaml.Node, allowed: Any, what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.problem(_line(node), f"{what} must be `key: value` lines")
            return {}
        entries = {}
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "..."
            if name not in allowed:
                self.problem(
                    _line(key), f"unknown key {name!r} in {what}; known: {', '.join(allowed)}"
                )
            elif name in seen:
                self.problem(_line(key), f"key {name!r} comes twice in {what}")
            elif not _is_null(value):
                entries[name] = value
            seen.add(name)
        return entries

    def value(self, node: yaml.Node, kind: str, key: str) -> Any:
        if kind is _VALUES:
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            return tuple(self.value(item, _ONE_VALUE, key) for item in items)
        if kind is _TEXTS:
            items = node.value if isinstance(node, yaml.SequenceNode) else [None]
            if all(isinstance(item, yaml.ScalarNode) for item in items):
                return tuple(item.value for item in items)  # `null` is a text here
            self.problem(_line(node), f"{key} must be {kind}")
            return None
        is_text = isinstance(node, yaml.ScalarNode) and not _is_null(node)
        if kind is _ONE_VALUE and is_text:
            return node.value
        if not is_text or not node.value:
            self.problem(_line(node), f"{key} must be {kind}")
            return _stand_in(kind, key, node)
        if kind is _TEXT:
            return node.value
        if kind is _TRUTH:
            if node.tag != "tag:yaml.org,2002:bool":
                self.problem(_line(node), f"{key} must be {kind}, not {node.value!r}")
            return node.value.lower() in ("true", "yes", "on")
        try:
            return int(node.value) if kind is _WHOLE else float(node.value)
        except ValueError:
            self.problem(_line(node), f"{key} must be {kind}, not {node.value!r}")
            return _stand_in(kind, key, node)

    def item(self, node: yaml.Node, cls: type) -> Any:
        what = f"a {'task' if cls is Task else cls.__name__.lower() + ' feature'}"
        if isinstance(node, yaml.ScalarNode) and cls is not Task and not _is_null(node):
            made = cls(node.value)
        else:
            entries = self.mapping(node, _FIELDS[cls], what)
            missing = [k for k in _REQUIRED[cls] if k not in entries]
            if missing and isinstance(node, yaml.MappingNode):
                self.problem(_line(node), f"{what} needs {' and '.join(missing)}")
            fields = {k: self.value(v, _FIELDS[cls][k], k) for k, v in entries.items()}
            made = cls(**({k: _stand_in(_TEXT, k, node) for k in missing} | fields))
        self.lines[id(made)] = _line(node)
        return made


def _stand_in(kind: str, key: str, node: yaml.Node) -> Any:
    """What takes the place of a wrong value, so that the other checks go on without complaint."""
    if kind in (_WHOLE, _NUMBER, _TRUTH):
        return 1
    if key in _FORMAT:
        return None
    return SCALES[0] if key == "scale" else f"line_{_line(node)}"


def _is_null(node: yaml.Node) -> bool:
    """Whether the value is left out: `key:` alone, `~` or `null`."""
    return node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def load(path: str | os.PathLike[str]) -> DatasetSpec:
    """Reads a `DatasetSpec` from a YAML file.

    Raises:
      InputError: naming every problem, each with file and line.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise InputError(f"cannot read the spec file {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the spec file {path} is not UTF-8 text ({error.reason}).") from error
    return parse(text, str(path))


def parse(text: str, file: str) -> DatasetSpec:
    """Reads a spec from YAML text; `file` is the name to use in messages.

    Raises:
      InputError: naming every problem, each with file and line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{file}, line {line}: not valid YAML: {error.problem}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{file}, line {line}: not valid YAML: {error.reason}.") from error
    if root is None:
        raise InputError(f"{file}: the file is empty; it should hold a data set's spec.")
    reader = _Reader(file)
    entries: Mapping[str, yaml.Node] = reader.mapping(root, _TOP, "the spec")
    sections: dict[str, tuple[Any, ...]] = {}
    for key, cls in _SECTIONS.items():
        node = entries.get(key)
        if node is not None and not isinstance(node, yaml.SequenceNode):
            reader.problem(_line(node), f"{key} must be a list")
            node = None
        sections[key] = tuple(reader.item(n, cls) for n in node.value) if node else ()
    texts, text_format = (
        {k: reader.value(entries[k], kind, k) for k, kind in kinds.items() if k in entries}
        for kinds in (_TEXTS_OF_SPEC, _FORMAT)
    )
    texts = {key: value for key, value in texts.items() if value is not None}
    if "name" not in texts:
        reader.problem(1, "the spec needs a name")
    made = TextFormat(**text_format)
    reader.lines[id(made)] = min((_line(entries[key]) for key in text_format), default=1)
    texts["text_format"] = made
    unchecked = _Unchecked(**({"name": "unnamed"} | texts), **sections)
    for about, sentence in problems(unchecked):
        reader.problem(reader.lines.get(id(about), 1), sentence)
    if reader.found:
        lines = [f"{file}, line {line}: {text}." for line, text in sorted(set(reader.found))]
        raise InputError("\n".join(lines))
    return DatasetSpec(**texts, **sections)
