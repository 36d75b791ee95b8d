"""A named data set: a spec, a source of raw rows, and its options.

Modules of data sets import their readers inside the function that opens them, since flags need
only the rest.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.kinds import load
from mptrec_tf.storage.file_systems import get_file_system

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

# A directory, and file patterns by split below it, as TFX's example generation takes them.
Files = tuple[str, dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a data set.

    Attributes:
      type: int or str.
      help: str. A sentence without a full stop, for flags.
      default: The default value.
      least: Optional int. The smallest value.
      is_directory: bool. Whether it is a directory that has to exist.
      flag: Optional str. The name of its flag, if it differs from the option's.
      check: Optional. Raises an InputError for a value that cannot be.
    """

    type: type
    help: str
    default: Any = None
    least: int | None = None
    is_directory: bool = False
    flag: str | None = None
    check: Callable[[Any], Any] | None = None


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a data set comes from.

    Attributes:
      title: str. Its name in texts.
      homepage: str. Where a person finds it.
      licence: str. Its licence.
      citation: str. The publication.
      file: str. The beginning of the name of a file that is in the directory of its files.
      archive: Optional str. The URL of an archive of its files that a program may download.
    """

    title: str
    homepage: str
    licence: str
    citation: str
    file: str
    archive: str | None = None


def _no_files(options: Mapping[str, Any]) -> Files | None:
    del options
    return None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that is known by its name.

    Attributes:
      name: str.
      make_spec: Returns the spec for names of tasks, those to pre-train on and those to add; their
        label columns are not features.
      open: Returns the source of its rows for names of tasks, and its options by keyword.
      tasks: Names of the default tasks.
      new_task: Optional str. The one of these that pipelines add after pre-training on the others.
      options: Its options, by name.
      files: Returns the files that it reads, given its options, for TFX to fingerprint; None if it
        reads none.
      origin: Where it comes from; None for data that are generated.
      columns: For its TFDS builder, the type of each raw column: TEXT, NUMBER or TEXTS of
        `features.base`.
      other_splits: Names of further splits, which models can be evaluated on.
      sample: "module:name" of the function that `write_sample` calls; None: there is none.

    Example:
      def make_spec(tasks):
          return DatasetSpec(
              "ratings",
              features=(Categorical("item"),),
              tasks=tuple(BinaryTask(task, task, positive="1") for task in tasks),
          )

      def open_ratings(tasks):
          return Tabular(make_spec(tasks), {s: [f"{s}.csv"] for s in SPLITS})

      DATASETS.register("ratings", DataSet("ratings", make_spec, open_ratings, ("like", "buy")))
    """

    name: str
    make_spec: Callable[[Sequence[str]], DatasetSpec]
    open: "Callable[..., Source]"
    tasks: tuple[str, ...]
    new_task: str | None = None
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    files: Callable[[Mapping[str, Any]], Files | None] = _no_files
    origin: Origin | None = None
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    other_splits: tuple[str, ...] = ()
    sample: str | None = None

    def write_sample(
        self, directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]
    ) -> None:
        """Writes files of its shape with planted structure, for data that cannot be had.

        Args:
          directory: An existing directory.
          rows: The rows of all files with labels together.
          seed: 0 or more. The same seed gives the same bytes.
          on_rows: Called with the number of rows of each part.

        Raises:
          InputError: if there is no sample of the data set.
        """
        if self.sample is None:
            raise InputError(f"there is no sample of data set {self.name!r}.")
        load(self.sample)(directory, rows, seed, on_rows)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Rejects options that the data set does not have, and values that cannot be.

        Raises:
          InputError: naming the option, or as its `check` does.
        """
        unknown = [name for name in options if name not in self.options]
        if unknown:
            takes = f"; it takes {', '.join(self.options)}" if self.options else ""
            raise InputError(f"data set {self.name!r} does not take {unknown[0]}{takes}.")
        for name, value in options.items():
            if check := self.options[name].check:
                check(value)


def find_inner_folder(data_dir: str, folder: str, file: str) -> str:
    """Returns the folder of original files, as an archive may have been extracted.

    Args:
      data_dir: The directory that a user gives.
      folder: The name of a folder in the archive, which is taken if it is in the directory.
      file: The name of one of the files; a directory that holds it, plain or .gz, is the folder.
    """
    base = data_dir.rstrip("/")
    inner, system = f"{base}/{folder}", get_file_system(base)
    is_here = any(system.exists(f"{base}/{name}") for name in (file, f"{file}.gz"))
    return inner if not is_here and system.isdir(inner) else base


def check_tasks(dataset: str, tasks: Sequence[str], known: Sequence[str]) -> None:
    """Rejects tasks that a data set does not have.

    Raises:
      InputError: naming the task.
    """
    for name in tasks:
        if name not in known:
            raise InputError(
                f"unknown task {name!r}: data set {dataset!r} has {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
