"""What a data set holds: which columns are features, and which make a task's label.

Plain data, validated on construction; imports no TensorFlow. `mptrec_tf.data.spec_yaml` reads it
from a file.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError, did_you_mean

SCALES = ("min_max", "standard", "log")
_LINE_OR_TAB = re.compile(r"[\t\r\n]")


@dataclasses.dataclass(frozen=True)
class Categorical:
    """A categorical feature.

    Attributes:
      name: str. The raw column, read as text. A column that is a numeric feature, too, is read as
        a number, and each number is a category.
      min_count: int. Values seen fewer times in the training rows share the out-of-vocabulary id.
      hash_buckets: Optional int. Hash values into this many buckets instead of keeping a
        vocabulary; for columns whose values are too many or always new.
      exact: bool. Take every text as it is, white space included, instead of its canonical form
        (see `canonical`); nothing counts as missing then but empty text.
    """

    name: str
    min_count: int = 1
    hash_buckets: int | None = None
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class Numeric:
    """A numeric feature.

    Attributes:
      name: str. The raw column, read as a finite float.
      scale: str. "min_max" to [0, 1] (clipped to it), "standard" for (v - mean) / deviation, or
        "log" for the standard score of sign(v) * log(1 + |v|). Statistics come from the
        training rows; a column that is constant there becomes 0.
    """

    name: str
    scale: str = "min_max"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """The columns of a data set.

    Attributes:
      name: str. The data set's name.
      categorical: The categorical features, in the order in which they are packed.
      numeric: The numeric features, in the order in which they are packed.
      tasks: All tasks, those that a model is pre-trained on and those declared to come. None of
        their label columns may be a feature.
      user_id: Optional str. Column that groups rows for grouped AUC.
      weight: Optional str. Column with a non-negative weight of each row in losses and metrics.
      missing_values: Texts of labels and categorical columns that count as missing, in upper or
        lower case; empty text always does. What a task lists by itself (`positive`, `negative`)
        is none of them.
      text_format: How text files are written.
      example_types: Type of a column by name, "int64", "float" or "bytes", where the training rows
        came as tf.Examples that have another one than the feature's own. Not a user's to give.

    Raises:
      InputError: naming everything that is wrong.
    """

    name: str
    categorical: tuple[Categorical, ...]
    numeric: tuple[Numeric, ...]
    tasks: tuple[Task, ...]
    user_id: str | None = None
    weight: str | None = None
    missing_values: tuple[str, ...] = MISSING_VALUES
    text_format: TextFormat = TextFormat()  # noqa: RUF009 (frozen)
    example_types: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        found = problems(self)
        if found:
            raise InputError(f"data set {self.name!r}: " + "; ".join(text for _, text in found))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all feature columns, categorical ones first; each once."""
        return tuple(dict.fromkeys(f.name for f in (*self.categorical, *self.numeric)))

    @property
    def text_features(self) -> tuple[Categorical, ...]:
        """The categorical features whose columns are read as text."""
        numbers = {f.name for f in self.numeric}
        return tuple(f for f in self.categorical if f.name not in numbers)

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

    def features_json(self) -> str:
        """The features alone, as JSON that is equal exactly where preprocessing is the same."""
        return json.dumps(
            {
                "categorical": [dataclasses.asdict(f) for f in self.categorical],
                "numeric": [dataclasses.asdict(f) for f in self.numeric],
                "missing_values": self.missing_values,
            }
        )

    def to_json(self) -> str:
        """The whole spec as JSON, which `from_json` reads."""
        return json.dumps(self.to_plain(), indent=2)

    def to_plain(self) -> dict[str, Any]:
        """The whole spec as plain data, which `from_dict` reads."""
        return dataclasses.asdict(self) | {"tasks": [task.to_plain() for task in self.tasks]}

    @classmethod
    def from_json(cls, text: str) -> "DatasetSpec":
        """Reads what `to_json` wrote."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "DatasetSpec":
        """Reads what `to_plain` and JSON made of a spec.

        Raises:
          InputError: for what a version before 0.2 wrote: it took text in another way.
          KeyError: if a field is missing.
        """
        if "missing_values" not in raw:
            raise InputError(
                f"data set {raw['name']!r} was prepared by a version of mptrec_tf before 0.2, "
                "which took text in another way; prepare the data and train on them again."
            )
        return cls(
            name=raw["name"],
            categorical=tuple(Categorical(**f) for f in raw["categorical"]),
            numeric=tuple(Numeric(**f) for f in raw["numeric"]),
            tasks=tuple(task_from_plain(t) for t in raw["tasks"]),
            user_id=raw["user_id"],
            weight=raw["weight"],
            missing_values=tuple(raw["missing_values"]),
            text_format=TextFormat(**raw["text_format"]),
            example_types=raw["example_types"],
        )


def problems(spec: DatasetSpec) -> list[tuple[Any, str]]:
    """Everything wrong in `spec`, as (the object it is about, sentence) pairs."""
    found: list[tuple[Any, str]] = []
    features = (*spec.categorical, *spec.numeric)
    labels = {t.label: t.name for t in spec.tasks}
    others = {column: what for t in spec.tasks for column, what in t.other_columns().items()}
    if not features:
        found.append((spec, "it has no feature; list at least one under categorical or numeric"))
    if not spec.tasks:
        found.append((spec, "it has no task; list at least one under tasks"))
    found += [(spec.text_format, sentence) for sentence in spec.text_format.problems()]
    seen: set[tuple[type, str]] = set()
    for feature in features:
        if not feature.name or _LINE_OR_TAB.search(feature.name):
            found.append(
                (feature, f"feature name {feature.name!r} must be text without line ends and tabs")
            )
        # A column may be both a category and a number.
        if (type(feature), feature.name) in seen:
            found.append((feature, f"feature {feature.name!r} is listed twice"))
        seen.add((type(feature), feature.name))
        if feature.name in labels:
            found.append(
                (
                    feature,
                    f"column {feature.name!r} makes the label of task {labels[feature.name]!r}, "
                    "so it cannot be a feature; remove it from the features",
                )
            )
        if feature.name in others:
            what = others[feature.name]
            found.append((feature, f"column {feature.name!r} is a {what}, not a feature"))
        if feature.name == spec.weight:
            found.append((feature, f"column {feature.name!r} is the weight, not a feature"))
    for feature in spec.categorical:
        if feature.min_count < 1:
            found.append(
                (feature, f"{feature.name!r}: min_count must be 1 or more, not {feature.min_count}")
            )
        if feature.hash_buckets is not None and feature.hash_buckets < 1:
            found.append(
                (
                    feature,
                    f"{feature.name!r}: hash_buckets must be 1 or more, not {feature.hash_buckets}",
                )
            )
        if feature.exact and feature not in spec.text_features:
            found.append(
                (feature, f"{feature.name!r} is a number, too, so its text cannot be exact")
            )
        if feature.hash_buckets is not None and feature.min_count != 1:
            found.append((feature, f"{feature.name!r}: give min_count or hash_buckets, not both"))
    for feature in spec.numeric:
        if feature.scale not in SCALES:
            found.append(
                (
                    feature,
                    f"{feature.name!r}: scale must be one of {', '.join(SCALES)}, "
                    f"not {feature.scale!r}",
                )
            )
    names: set[str] = set()
    for task in spec.tasks:
        found += [(task, text) for text in task.problems(names)]
        names.add(task.name)
    return found


def check_same_features(spec: DatasetSpec, other: DatasetSpec, what: str, than: str) -> None:
    """Refuses two specs whose features differ.

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
