"""Which data set a pipeline reads, as plain data that goes through TFX's metadata."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from mptrec_tf.data.sources import registry, tfds_rows
from mptrec_tf.data.sources.block import SPLITS, Source
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

# What TFX fingerprints of a data set that comes from no file.
_NO_FILE = "no-file"
_CENSUS_FILES = {
    "train": "census-income.data*",
    "validation": "census-income.test*",
    "test": "census-income.test*",
}


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A data set: a built-in one, or a user's own spec and files.

    Attributes:
      dataset: Optional str. "synthetic" or "census_income".
      data_dir: Optional str. census_income: directory of the original files.
      tasks: Built-in data sets: names of the tasks, known ones and those to come. Empty for the
        data set's own.
      rows: Optional int. synthetic: training rows.
      seed: int. synthetic: same seed, same rows.
      spec: Optional. A user's own data: what the columns are.
      files: A user's own data: a path or glob by split. `{SPAN}` or `{YYYY}-{MM}-{DD}` in each
        takes the newest, as TFX's example generation does. "tfds:NAME#SPLIT" is read by TensorFlow
        Datasets, see `mptrec_tf.data.sources.tfds_rows`.
    """

    dataset: str | None = None
    data_dir: str | None = None
    tasks: tuple[str, ...] = ()
    rows: int | None = None
    seed: int = 1
    spec: DatasetSpec | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.dataset) == bool(self.spec):
            raise InputError("give either a built-in data set or a spec of your own data.")
        if self.spec and self.files.keys() != set(SPLITS):
            raise InputError(
                f"your own data need files for {', '.join(SPLITS)}; "
                f"received {', '.join(self.files) or 'none'}."
            )

    def make_spec(self) -> DatasetSpec:
        """Returns what the columns are, without looking at files.

        Raises:
          InputError: for an unknown data set or task.
        """
        if self.spec:
            return self.spec
        return registry.built_in_spec(self.dataset, self.tasks or None)

    def patterns(self) -> tuple[str, dict[str, str]]:
        """Returns the directory of the files, and a path or glob below it by split.

        Raises:
          InputError: for what `tfds_rows.directory` refuses.
        """
        if self.spec:
            paths = {split: _on_disk(path) for split, path in self.files.items()}
            common = os.path.commonprefix(list(paths.values()))  # noqa: RUF071 (cut at a "/")
            fixed = re.match(r"[^*?\[{]*", common)[0]
            base = fixed[: fixed.rfind("/") + 1]
            return base or ".", {split: p.removeprefix(base) for split, p in paths.items()}
        if self.dataset == "census_income" and self.data_dir:
            return self.data_dir, dict(_CENSUS_FILES)
        return _NO_FILE, dict.fromkeys(SPLITS, _NO_FILE)

    def open(self, patterns: Mapping[str, str]) -> Source:
        """Opens the data set.

        Args:
          patterns: A user's own data: a path or glob by split, spans filled in.

        Raises:
          InputError: for what `registry.open_source` or `Tabular` refuse.
        """
        if self.spec:
            # TFX looks at the files of a TFDS data set; TFDS reads them.
            tfds = {s: path for s, path in self.files.items() if tfds_rows.is_tfds(path)}
            return Tabular(self.spec, {s: [path] for s, path in {**patterns, **tfds}.items()})
        return registry.open_source(
            self.dataset,
            data_dir=self.data_dir,
            tasks=self.tasks or None,
            rows=self.rows,
            seed=self.seed,
        )

    def to_json(self) -> str:
        """The configuration as JSON, which `from_json` reads."""
        return json.dumps(dataclasses.asdict(self) | {"spec": self.spec and self.spec.to_plain()})

    @classmethod
    def from_json(cls, text: str) -> "SourceConfig":
        """Reads what `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        spec = raw["spec"] and DatasetSpec.from_json(json.dumps(raw["spec"]))
        return cls(**raw | {"spec": spec, "tasks": tuple(raw["tasks"])})


def _on_disk(path: str) -> str:
    return f"{tfds_rows.directory(path)}/*" if tfds_rows.is_tfds(path) else path
