"""Reads a DatasetSpec from YAML, keeping the line of everything for the error messages."""

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.spec import DatasetSpec, SpecError
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.registry import DEFAULT, TASKS
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

_TEXT, _WHOLE, _NUMBER, _TRUTH = "text", "a whole number", "a number", "true or false"
_VALUES, _ONE_VALUE, _TEXTS = "a value or a list of them", "a single value", "a list of texts"
# What a key must be, by the type of a field.
_OF_TYPE = {str: _TEXT, int: _WHOLE, float: _NUMBER, bool: _TRUTH, tuple[str, ...]: _VALUES}
_TEXTS_OF_SPEC = {"name": _TEXT, "user_id": _TEXT, "weight": _TEXT, "missing_values": _TEXTS}
_FORMAT = {"delimiter": _TEXT, "escape": _TEXT, "header": _TEXTS}
_TASKS = "tasks"


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

    def items(self, entries: Mapping[str, yaml.Node], key: str) -> list[yaml.Node]:
        """The items of a list; none where there is no list."""
        node = entries.get(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(_line(node), f"{key} must be a list")
            return []
        return node.value

    def value(
        self, node: yaml.Node, kind: str, key: str, default: Any = dataclasses.MISSING
    ) -> Any:
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
            return _stand_in(kind, node, default)
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
            return _stand_in(kind, node, default)

    def feature(self, node: yaml.Node, cls: type) -> Any:
        """Reads a feature: a name alone, or a mapping of its fields."""
        if isinstance(node, yaml.ScalarNode) and not _is_null(node):
            made = cls(node.value)
            self.lines[id(made)] = _line(node)
            return made
        return self.made(node, cls, _keys(cls), f"a {cls.section} feature")

    def task(self, node: yaml.Node) -> Task | None:
        """Reads a task of any kind; None for an unknown kind."""
        kind = _entry(node, "kind")
        name = DEFAULT if kind is None else self.value(kind, _TEXT, "kind")
        try:
            cls = TASKS.get(name)
        except InputError as error:
            self.problem(_line(kind), str(error).rstrip(".?"))
            return None
        return self.made(node, cls, _keys(cls) | {"kind": _TEXT}, "a task")

    def made(self, node: yaml.Node, cls: type, kinds: Mapping[str, str], what: str) -> Any:
        """Makes an object of the keys of a mapping."""
        entries = self.mapping(node, kinds, what)
        of_class = {field.name: field for field in dataclasses.fields(cls)}
        missing = [k for k, field in of_class.items() if _is_required(field) and k not in entries]
        if missing and isinstance(node, yaml.MappingNode):
            self.problem(_line(node), f"{what} needs {' and '.join(missing)}")
        entries.pop("kind", None)
        fields = {k: self.value(v, kinds[k], k, of_class[k].default) for k, v in entries.items()}
        made = cls(**({k: _stand_in(kinds[k], node) for k in missing} | fields))
        self.lines[id(made)] = _line(node)
        return made


def _stand_in(kind: str, node: yaml.Node, default: Any = dataclasses.MISSING) -> Any:
    """What takes the place of a wrong value, so that the other checks go on without complaint."""
    if kind in (_WHOLE, _NUMBER, _TRUTH):
        return 1
    return f"line_{_line(node)}" if default is dataclasses.MISSING else default


def _keys(cls: type) -> dict[str, str]:
    """What each key of a feature or a task of this kind must be."""
    types_of = typing.get_type_hints(cls)
    return {f.name: _OF_TYPE[_without_none(types_of[f.name])] for f in dataclasses.fields(cls)}


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
    kinds = FEATURES.all()
    top = ("name", *kinds, _TASKS, *list(_TEXTS_OF_SPEC)[1:], *_FORMAT)
    entries: Mapping[str, yaml.Node] = reader.mapping(root, top, "the spec")
    features = [
        reader.feature(node, cls)
        for section, cls in kinds.items()
        for node in reader.items(entries, section)
    ]
    tasks = [reader.task(node) for node in reader.items(entries, _TASKS)]
    texts = {
        k: reader.value(entries[k], kind, k) for k, kind in _TEXTS_OF_SPEC.items() if k in entries
    }
    text_format = {
        k: reader.value(entries[k], kind, k, None) for k, kind in _FORMAT.items() if k in entries
    }
    texts = {key: value for key, value in texts.items() if value is not None}
    if "name" not in texts:
        reader.problem(1, "the spec needs a name")
    made = TextFormat(**text_format)
    reader.lines[id(made)] = min((_line(entries[key]) for key in text_format), default=1)
    fields = {
        "name": "unnamed",
        **texts,
        "features": tuple(features),
        "tasks": tuple(task for task in tasks if task is not None),
        "text_format": made,
    }
    try:
        spec = DatasetSpec(**fields)
    except SpecError as error:
        # Without a task of an unknown kind, what else would be missing is not.
        for about, sentence in () if None in tasks else error.problems:
            reader.problem(reader.lines.get(id(about), 1), sentence)
    if reader.found:
        lines = [f"{file}, line {line}: {text}." for line, text in sorted(set(reader.found))]
        raise InputError("\n".join(lines))
    return spec
