"""Reads a DatasetSpec from YAML, keeping the line of everything for the error messages."""

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from mptrec_tf.data.spec import SCALES, Categorical, DatasetSpec, Numeric, problems
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.registry import DEFAULT, TASKS
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

_TEXT, _WHOLE, _NUMBER, _TRUTH = "text", "a whole number", "a number", "true or false"
_VALUES, _ONE_VALUE, _TEXTS = "a value or a list of them", "a single value", "a list of texts"
_FIELDS = {
    Categorical: {"name": _TEXT, "min_count": _WHOLE, "hash_buckets": _WHOLE, "exact": _TRUTH},
    Numeric: {"name": _TEXT, "scale": _TEXT},
}
_REQUIRED = {Categorical: ("name",), Numeric: ("name",)}
# What a key must be, by the type of a field.
_OF_TYPE = {str: _TEXT, int: _WHOLE, float: _NUMBER, bool: _TRUTH, tuple[str, ...]: _VALUES}
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
        if cls is Task:
            return self.task(node)
        what = f"a {cls.__name__.lower()} feature"
        if isinstance(node, yaml.ScalarNode) and not _is_null(node):
            made = cls(node.value)
            self.lines[id(made)] = _line(node)
            return made
        return self.made(node, cls, _FIELDS[cls], _REQUIRED[cls], what)

    def task(self, node: yaml.Node) -> Task | None:
        """Reads a task of any kind; None for an unknown kind."""
        kind = _entry(node, "kind")
        name = DEFAULT if kind is None else self.value(kind, _TEXT, "kind")
        try:
            cls = TASKS.get(name)
        except InputError as error:
            self.problem(_line(kind), str(error).rstrip(".?"))
            return None
        required = [f.name for f in dataclasses.fields(cls) if _is_required(f)]
        return self.made(node, cls, _keys(cls), required, "a task")

    def made(
        self, node: yaml.Node, cls: type, kinds: Mapping[str, str], required: Any, what: str
    ) -> Any:
        """Makes an object of the keys of a mapping."""
        entries = self.mapping(node, kinds, what)
        missing = [k for k in required if k not in entries]
        if missing and isinstance(node, yaml.MappingNode):
            self.problem(_line(node), f"{what} needs {' and '.join(missing)}")
        fields = {k: self.value(v, kinds[k], k) for k, v in entries.items()}
        fields.pop("kind", None)
        made = cls(**({k: _stand_in(kinds[k], k, node) for k in missing} | fields))
        self.lines[id(made)] = _line(node)
        return made


def _stand_in(kind: str, key: str, node: yaml.Node) -> Any:
    """What takes the place of a wrong value, so that the other checks go on without complaint."""
    if kind in (_WHOLE, _NUMBER, _TRUTH):
        return 1
    if key in _FORMAT:
        return None
    return SCALES[0] if key == "scale" else f"line_{_line(node)}"


def _keys(cls: type[Task]) -> dict[str, str]:
    """What each key of a task of this kind must be."""
    types_of = typing.get_type_hints(cls)
    keys = {f.name: _OF_TYPE[_without_none(types_of[f.name])] for f in dataclasses.fields(cls)}
    return keys | {"kind": _TEXT}


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType):
        [annotation] = set(typing.get_args(annotation)) - {type(None)}
    return annotation


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _entry(node: yaml.Node, key: str) -> yaml.Node | None:
    """The value of a key, where there is one."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    of = [value for k, value in entries if k.value == key and not _is_null(value)]
    return of[0] if of else None


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
    unknown = False  # a kind of task: what would be missing then is not
    for key, cls in _SECTIONS.items():
        node = entries.get(key)
        if node is not None and not isinstance(node, yaml.SequenceNode):
            reader.problem(_line(node), f"{key} must be a list")
            node = None
        items = [reader.item(n, cls) for n in node.value] if node else []
        sections[key] = tuple(item for item in items if item is not None)
        unknown = unknown or None in items
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
    for about, sentence in () if unknown else problems(unchecked):
        reader.problem(reader.lines.get(id(about), 1), sentence)
    if reader.found:
        lines = [f"{file}, line {line}: {text}." for line, text in sorted(set(reader.found))]
        raise InputError("\n".join(lines))
    return DatasetSpec(**texts, **sections)
