"""Reads a DatasetSpec from YAML; error messages name lines."""

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
_CONDITIONS = "`column: value` lines"
_VALUES, _ONE_VALUE, _TEXTS = "a value or a list of them", "a single value", "a list of texts"
# What a key must be, by the type of a field.
_OF_TYPE = {str: _TEXT, int: _WHOLE, float: _NUMBER, bool: _TRUTH, tuple[str, ...]: _VALUES}
_OF_TYPE[Mapping[str, tuple[str, ...]]] = _CONDITIONS
_TEXTS_OF_SPEC = {"name": _TEXT, "user_id": _TEXT, "weight": _TEXT, "missing_values": _TEXTS}
_FORMAT = {"delimiter": _TEXT, "escape": _TEXT, "header": _TEXTS, "quote": _TEXT}
_FORMAT |= {"encoding": _TEXT, "decimal": _TEXT, "skip_rows": _WHOLE}
_TASKS = "tasks"


class _Reader:
    def __init__(self, file: str):
        self.file = file
        self.problems: list[tuple[int, str]] = []
        self.lines: dict[int, int] = {}

    def add_problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def read_mapping(self, node: yaml.Node, allowed: Any, what: str) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self.add_problem(_get_line(node), f"{what} must be `key: value` lines")
            return {}
        entries = {}
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "..."
            if name not in allowed:
                self.add_problem(
                    _get_line(key), f"unknown key {name!r} in {what}; known: {', '.join(allowed)}"
                )
            elif name in seen:
                self.add_problem(_get_line(key), f"key {name!r} comes twice in {what}")
            elif not _is_null(value):
                entries[name] = value
            seen.add(name)
        return entries

    def read_items(self, entries: Mapping[str, yaml.Node], key: str) -> list[yaml.Node]:
        """Returns the items of a list; none if there is no list."""
        node = entries.get(key)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.add_problem(_get_line(node), f"{key} must be a list")
            return []
        return node.value

    def read_value(
        self, node: yaml.Node, kind: str, key: str, default: Any = dataclasses.MISSING
    ) -> Any:
        if kind is _VALUES:
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            return tuple(self.read_value(item, _ONE_VALUE, key) for item in items)
        if kind is _CONDITIONS:
            return self.read_conditions(node, key)
        if kind is _TEXTS:
            items = node.value if isinstance(node, yaml.SequenceNode) else [None]
            if all(isinstance(item, yaml.ScalarNode) for item in items):
                return tuple(item.value for item in items)  # `null` is a text here
            self.add_problem(_get_line(node), f"{key} must be {kind}")
            return None
        is_text = isinstance(node, yaml.ScalarNode) and not _is_null(node)
        if kind is _ONE_VALUE and is_text:
            return node.value
        if not is_text or not node.value:
            self.add_problem(_get_line(node), f"{key} must be {kind}")
            return _make_placeholder(kind, node, default)
        if kind is _TEXT:
            return node.value
        if kind is _TRUTH:
            if node.tag != "tag:yaml.org,2002:bool":
                self.add_problem(_get_line(node), f"{key} must be {kind}, not {node.value!r}")
            return node.value.lower() in ("true", "yes", "on")
        try:
            return int(node.value) if kind is _WHOLE else float(node.value)
        except ValueError:
            self.add_problem(_get_line(node), f"{key} must be {kind}, not {node.value!r}")
            return _make_placeholder(kind, node, default)

    def read_conditions(self, node: yaml.Node, key: str) -> dict[str, tuple[str, ...]]:
        """Reads a value, or a list of them, by column."""
        if not isinstance(node, yaml.MappingNode):
            self.add_problem(_get_line(node), f"{key} must be {_CONDITIONS}")
            return {}
        conditions = {}
        for column, values in node.value:
            name = column.value if isinstance(column, yaml.ScalarNode) else ""
            if not name:
                self.add_problem(_get_line(column), f"{key} must be {_CONDITIONS}")
            elif name in conditions:
                self.add_problem(_get_line(column), f"{key} names column {name!r} twice")
            else:
                conditions[name] = self.read_value(values, _VALUES, f"{key}: {name}")
        return conditions

    def read_feature(self, node: yaml.Node, cls: type) -> Any:
        """Reads a feature: a name alone, or a mapping of its fields."""
        if isinstance(node, yaml.ScalarNode) and not _is_null(node):
            feature = cls(node.value)
            self.lines[id(feature)] = _get_line(node)
            return feature
        return self.read_object(node, cls, _list_keys(cls), f"a {cls.section} feature")

    def read_task(self, node: yaml.Node) -> Task | None:
        """Reads a task of any kind; None for an unknown kind."""
        kind = _find_entry(node, "kind")
        name = DEFAULT if kind is None else self.read_value(kind, _TEXT, "kind")
        try:
            cls = TASKS.get(name)
        except InputError as error:
            self.add_problem(_get_line(kind), str(error).rstrip(".?"))
            return None
        return self.read_object(node, cls, _list_keys(cls) | {"kind": _TEXT}, "a task")

    def read_object(self, node: yaml.Node, cls: type, kinds: Mapping[str, str], what: str) -> Any:
        """Makes an object from the keys of a mapping."""
        entries = self.read_mapping(node, kinds, what)
        of_class = {field.name: field for field in dataclasses.fields(cls)}
        missing = [k for k, field in of_class.items() if _is_required(field) and k not in entries]
        if missing and isinstance(node, yaml.MappingNode):
            self.add_problem(_get_line(node), f"{what} needs {' and '.join(missing)}")
        entries.pop("kind", None)
        fields = {
            k: self.read_value(v, kinds[k], k, of_class[k].default) for k, v in entries.items()
        }
        result = cls(**({k: _make_placeholder(kinds[k], node) for k in missing} | fields))
        self.lines[id(result)] = _get_line(node)
        return result


def _make_placeholder(kind: str, node: yaml.Node, default: Any = dataclasses.MISSING) -> Any:
    """Returns a substitute for a wrong value, so that other checks report only their own errors."""
    if kind in (_WHOLE, _NUMBER, _TRUTH):
        return 1
    return f"line_{_get_line(node)}" if default is dataclasses.MISSING else default


def _list_keys(cls: type) -> dict[str, str]:
    """Returns the keys of a kind of feature or task, and what each must be."""
    types_of = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if "fitted" not in field.metadata]
    return {field.name: _OF_TYPE[_remove_none(types_of[field.name])] for field in fields}


def _remove_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType):
        [annotation] = set(typing.get_args(annotation)) - {type(None)}
    return annotation


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _find_entry(node: yaml.Node, key: str) -> yaml.Node | None:
    """Returns the value of a key, if there is one."""
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    of = [value for k, value in entries if k.value == key and not _is_null(value)]
    return of[0] if of else None


def _is_null(node: yaml.Node) -> bool:
    """Whether a value is omitted: only `key:`, `~` or `null`."""
    return node.tag == "tag:yaml.org,2002:null"


def _get_line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def load(path: str | os.PathLike[str]) -> DatasetSpec:
    """Reads a `DatasetSpec` from a YAML file.

    Raises:
      InputError: naming every problem, each with file and line.

    Example:
      >>> load("shop.yaml").task_names
      ('buy',)
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
    """Reads a spec from YAML text; `file` is its name in messages.

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
    entries: Mapping[str, yaml.Node] = reader.read_mapping(root, top, "the spec")
    features = [
        reader.read_feature(node, cls)
        for section, cls in kinds.items()
        for node in reader.read_items(entries, section)
    ]
    tasks = [reader.read_task(node) for node in reader.read_items(entries, _TASKS)]
    texts = {
        k: reader.read_value(entries[k], kind, k)
        for k, kind in _TEXTS_OF_SPEC.items()
        if k in entries
    }
    text_format = {
        k: reader.read_value(entries[k], kind, k, None)
        for k, kind in _FORMAT.items()
        if k in entries
    }
    texts = {key: value for key, value in texts.items() if value is not None}
    if "name" not in texts:
        reader.add_problem(1, "the spec needs a name")
    file_format = TextFormat(**text_format)
    reader.lines[id(file_format)] = min((_get_line(entries[key]) for key in text_format), default=1)
    fields = {
        "name": "unnamed",
        **texts,
        "features": tuple(features),
        "tasks": tuple(task for task in tasks if task is not None),
        "text_format": file_format,
    }
    try:
        spec = DatasetSpec(**fields)
    except SpecError as error:
        # A task of an unknown kind was left out, so that other problems may follow from it.
        for about, sentence in () if None in tasks else error.problems:
            reader.add_problem(reader.lines.get(id(about), 1), sentence)
    if reader.problems:
        lines = [f"{file}, line {line}: {text}." for line, text in sorted(set(reader.problems))]
        raise InputError("\n".join(lines))
    return spec
