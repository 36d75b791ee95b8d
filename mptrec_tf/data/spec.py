"""The spec of a data set: which columns are features, and which are labels of tasks.

Plain data, validated on construction; imports no TensorFlow. `mptrec_tf.data.spec_yaml` reads it
from a file.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.features.base import NUMBER, NUMBERS, TEXT, TEXTS, Feature
from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.tasks.base import PROBABILITY, Task, conditional_name
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.storage.plain import fields_from_plain, fields_to_plain, values_from_plain

_LINE_OR_TAB = re.compile(r"[\t\r\n]")


class SpecError(InputError):
    """An error in a spec.

    Attributes:
      problems: All problems, as (object, sentence) pairs.
    """

    def __init__(self, message: str, problems: Sequence[tuple[Any, str]] = ()):
        super().__init__(message)
        self.problems = tuple(problems)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """The columns of a data set.

    Attributes:
      name: str. The data set's name.
      features: The features of all kinds; sorted into the order in which they are packed, by the
        order of kinds in the registry, and within a kind as given.
      tasks: All tasks, those that a model is pre-trained on and those to add. None of their label
        columns may be a feature.
      user_id: Optional str. Column that groups rows for grouped AUC.
      weight: Optional str. Column with a non-negative weight of each row in losses and metrics.
      missing_values: Texts of labels and text columns that count as missing, in upper or lower
        case; empty text always does. Values that a task lists (`positive`, `negative`) do not.
      text_format: The format of text files.
      example_types: By column, "int64", "float" or "bytes", if the training rows were tf.Examples
        of another type than the feature's own. Set by preparation, not by users.

    Raises:
      SpecError: naming all problems.

    Example:
      >>> spec = DatasetSpec(
      ...     "shop",
      ...     features=(Categorical("city"), Numeric("price", "log")),
      ...     tasks=(BinaryTask("buy", "bought", positive="1"),),
      ... )
      >>> spec.feature_names
      ('city', 'price')
    """

    name: str
    features: tuple[Feature, ...]
    tasks: tuple[Task, ...]
    user_id: str | None = None
    weight: str | None = None
    missing_values: tuple[str, ...] = MISSING_VALUES
    text_format: TextFormat = TextFormat()  # noqa: RUF009 (frozen)
    example_types: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        order = FEATURES.names()
        for feature in self.features:
            FEATURES.get(feature.section)
        by_kind = sorted(self.features, key=lambda feature: order.index(feature.section))
        object.__setattr__(self, "features", tuple(by_kind))
        problems = _find_problems(self)
        if problems:
            sentences = "; ".join(text for _, text in problems)
            raise SpecError(f"data set {self.name!r}: {sentences}", problems)

    def by_kind(self) -> dict[type[Feature], tuple[Feature, ...]]:
        """Returns the features by kind, in the order of the registry."""
        kinds: dict[type[Feature], tuple[Feature, ...]] = {}
        for feature in self.features:
            kind = FEATURES.get(feature.section)
            kinds[kind] = (*kinds.get(kind, ()), feature)
        return kinds

    def section(self, name: str) -> tuple[Feature, ...]:
        """Returns the features of one section, "numeric" for example."""
        return tuple(f for f in self.features if f.section == name)

    @property
    def categorical(self) -> tuple[Feature, ...]:
        """The categorical features."""
        return self.section("categorical")

    @property
    def numeric(self) -> tuple[Feature, ...]:
        """The numeric features."""
        return self.section("numeric")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all feature columns in the order of the features; each once."""
        return tuple(dict.fromkeys(f.name for f in self.sources))

    @functools.cached_property
    def sources(self) -> tuple[Feature, ...]:
        """The features through which the features read their columns, see `Feature.sources`."""
        return tuple(source for feature in self.features for source in feature.sources())

    @functools.cached_property
    def column_types(self) -> Mapping[str, str]:
        """The type of each feature column ("text", ...), which all of its features read."""
        types: dict[str, list[str]] = {}
        for feature in self.sources:
            before = types.get(feature.name, feature.reads)
            types[feature.name] = [kind for kind in before if kind in feature.reads]
        return {name: kinds[0] for name, kinds in types.items() if kinds}

    @functools.cached_property
    def raw_columns(self) -> Mapping[str, Feature]:
        """By raw column, the feature that decides how it is read; in the order of the types."""
        columns: dict[str, Feature] = {}
        for kind in (TEXT, NUMBER, TEXTS, NUMBERS):
            for feature in self.sources:
                if feature.reads[0] == kind == self.column_types[feature.name]:
                    columns.setdefault(feature.name, feature)
        return columns

    @functools.cached_property
    def optional_numbers(self) -> frozenset[str]:
        """The number columns that may lack a value: those all of whose features take that."""
        strict = {f.name for f in self.sources if not f.takes_missing}
        numbers = {name for name, kind in self.column_types.items() if kind == NUMBER}
        return frozenset(numbers - strict)

    def missing_of(self, column: str) -> tuple[str, ...] | None:
        """Returns what counts as missing in a number column; None if it needs every value."""
        return self.missing_values if column in self.optional_numbers else None

    @property
    def list_columns(self) -> tuple[str, ...]:
        """The raw columns that hold several values in a row."""
        return tuple(n for n, feature in self.raw_columns.items() if feature.values_per_row != 1)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of all tasks, in order."""
        return tuple(t.name for t in self.tasks)

    def select_tasks(self, names: Iterable[str]) -> tuple[Task, ...]:
        """Returns the tasks with these names, in the order of `names`.

        Raises:
          InputError: if a name is unknown or comes twice.
        """
        names = list(names)
        known = {t.name: t for t in self.tasks}
        for name in names:
            if name not in known:
                raise InputError(
                    f"unknown task {name!r}: data set {self.name!r} has {', '.join(known)}"
                    f"{did_you_mean(name, known)}"
                )
            if names.count(name) > 1:
                raise InputError(f"task {name!r} is named twice in {','.join(names)!r}.")
        return tuple(known[name] for name in names)

    def chain(self, name: str) -> tuple[str, ...]:
        """Returns the names of the tasks that a task is given, the first of all first, and its own.

        Example:
          >>> tasks = (BinaryTask("buy", "b", "1", given="click"), BinaryTask("click", "c", "1"))
          >>> DatasetSpec("shop", (Categorical("city"),), tasks).chain("buy")
          ('click', 'buy')
        """
        [task] = self.select_tasks([name])
        return (*(self.chain(task.given) if task.given else ()), name)

    def features_json(self) -> str:
        """Returns only the features, as JSON that is equal if and only if preprocessing is."""
        return json.dumps({**self._sections(), "missing_values": self.missing_values})

    def _sections(self) -> dict[str, list[dict[str, Any]]]:
        """Returns the fields of the features by section."""
        always = [n for n, kind in FEATURES.all().items() if kind.always_listed]
        sections: dict[str, list[dict[str, Any]]] = {name: [] for name in always}
        for feature in self.features:
            sections.setdefault(feature.section, []).append(fields_to_plain(feature))
        return sections

    def to_json(self) -> str:
        """Returns the whole spec as JSON, which `from_json` reads."""
        return json.dumps(self.to_plain(), indent=2)

    def to_plain(self) -> dict[str, Any]:
        """Returns the whole spec as plain data, which `from_plain` reads; features by section."""
        fields = fields_to_plain(self)
        del fields["features"]
        return {"name": fields.pop("name"), **self._sections(), **fields}

    @classmethod
    def from_json(cls, text: str) -> "DatasetSpec":
        """Restores a spec from `to_json`."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "DatasetSpec":
        """Restores a spec from `to_plain`, also after a round trip through JSON.

        Raises:
          InputError: for a spec of a version before 0.2, which treated text differently, or for an
            unknown kind of feature.
          KeyError: if a field is missing.
          TypeError: if a field has another type.
        """
        if "missing_values" not in raw:
            raise InputError(
                f"data set {raw['name']!r} was prepared by a version of mptrec_tf before 0.2, "
                "which treated text differently; prepare the data and train on them again."
            )
        names = {field.name for field in dataclasses.fields(cls)} - {"features", "tasks"}
        sections = [name for name in raw if name not in names | {"tasks"}]
        for name in FEATURES.names():
            if FEATURES.get(name).always_listed and name not in raw:
                raise KeyError(name)
        return cls(
            features=tuple(
                fields_from_plain(FEATURES.get(section), fields)
                for section in sections
                for fields in raw[section]
            ),
            tasks=tuple(task_from_plain(task) for task in raw["tasks"]),
            **values_from_plain(cls, {name: raw[name] for name in names}),
        )


def _find_problems(spec: DatasetSpec) -> list[tuple[Any, str]]:
    """Returns all problems of a spec, as (object, sentence) pairs."""
    problems: list[tuple[Any, str]] = []
    if not spec.features:
        sections = " or ".join(FEATURES.names())
        problems.append((spec, f"it has no feature; list at least one under {sections}"))
    if not spec.tasks:
        problems.append((spec, "it has no task; list at least one under tasks"))
    problems += [(spec.text_format, sentence) for sentence in spec.text_format.problems()]
    seen: set[tuple[type, str]] = set()
    for feature in spec.features:
        problems += [
            (feature, sentence)
            for source in feature.sources()
            for sentence in _find_column_problems(spec, source)
        ]
        # A column may be both a category and a number.
        if (type(feature), feature.name) in seen:
            problems.append((feature, f"feature {feature.name!r} is listed twice"))
        seen.add((type(feature), feature.name))
    for feature in spec.features:
        if all(source.name in spec.column_types for source in feature.sources()):
            problems += [(feature, sentence) for sentence in feature.problems(spec)]
    names: set[str] = set()
    for task in spec.tasks:
        problems += [(task, text) for text in task.problems(names)]
        names.add(task.name)
        if task.weight and task.weight == spec.weight:
            text = f"column {task.weight!r} weighs the rows of all tasks already"
            problems.append((task, f"task {task.name!r}: {text}; leave out its own weight"))
    sampled = [task for task in spec.tasks if task.kept_share < 1]
    for task in sampled[1:]:
        text = f"only one task may leave out training rows, and {sampled[0].name!r} does already"
        problems.append((task, f"task {task.name!r}: {text}"))
    if not problems:
        problems = [(task, text) for task in spec.tasks for text in _find_given(spec, task)]
    return problems


def _find_given(spec: DatasetSpec, task: Task) -> Iterator[str]:
    """Yields a sentence if what a task is given is no task that has a probability before it."""
    by_name, chain = {of.name: of for of in spec.tasks}, [task.name]
    while (given := by_name[chain[-1]].given) is not None:
        what = f"task {chain[-1]!r}: given names {given!r}"
        if given in chain:
            yield f"{what}, which is given {chain[-1]!r} itself ({' <- '.join([*chain, given])})"
            return
        if given not in by_name:
            if chain[-1] == task.name:  # otherwise said of that task
                known = ", ".join(name for name in by_name if name != task.name) or "no other"
                yield f"{what}, which is no task of the spec (there is {known}); name it, too"
            return
        if by_name[given].output != PROBABILITY:
            yield f"{what}, whose prediction is no probability"
            return
        if chain[-1] == task.name and conditional_name(task) in by_name:
            yield f"{what}, so that no other task can be named {conditional_name(task)!r}"
            return
        if by_name[given].logit_correction:
            yield f"{what}, which has positive_weight or sample_negatives: leave these out"
            return
        chain.append(given)


def _find_column_problems(spec: DatasetSpec, feature: Feature) -> Iterator[str]:
    """Yields a sentence for each reason why a feature cannot read its column."""
    name = feature.name
    if not name or _LINE_OR_TAB.search(name):
        yield f"feature name {name!r} must be text without line ends and tabs"
    if name not in spec.column_types:
        reads = {other.reads[0] for other in spec.features if other.name == name}
        if reads <= {TEXT, NUMBER}:
            yield f"column {name!r} is text for one of its features and a number for another"
        else:
            yield (
                f"column {name!r} holds one value in a row for one of its features and several "
                "for another; list it under one of them"
            )
    for task in spec.tasks:
        if task.label == name:
            yield (
                f"column {name!r} is the label of task {task.name!r}, so it cannot be a "
                "feature; remove it from the features"
            )
            break
    for task in spec.tasks:
        if name in task.other_columns():
            yield f"column {name!r} is a {task.other_columns()[name]}, not a feature"
            break
    if name == spec.weight:
        yield f"column {name!r} is the weight, not a feature"


def check_same_features(spec: DatasetSpec, other: DatasetSpec, what: str, than: str) -> None:
    """Rejects two specs whose features differ.

    Raises:
      InputError: naming the first features that differ.
    """
    if spec.features_json() == other.features_json():
        return
    mine, theirs = set(spec.feature_names), set(other.feature_names)
    details = [
        f"only {title} has {', '.join(sorted(names))}"
        for title, names in (("the first", mine - theirs), ("the second", theirs - mine))
        if names
    ] or ["the same columns in another order or with other settings"]
    raise InputError(f"{what} has other features than {than} ({'; '.join(details)}).")
