"""What a data set is that is known by its name: a spec, a source of raw rows, and its options.

A data set of one's own is one of these and a line in the registry (`registry.DATASETS`), or a call:

    DATASETS.register("ratings", DataSet("ratings", make_spec, open_ratings, ("like", "buy")))

Modules of data sets import what reads rows inside the function that opens them; flags read the
rest.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

# Files by split below a directory, as TFX's example generation looks at them.
Files = tuple[str, dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Option:
    """Something that a data set can be told.

    Attributes:
      type: int or str.
      help: str. A sentence without its end, for flags.
      default: What holds where it is not given.
      least: Optional int. The smallest value.
      is_directory: bool. Whether it is a directory that has to exist.
      flag: Optional str. The name of its flag, where that is not its own.
    """

    type: type
    help: str
    default: Any = None
    least: int | None = None
    is_directory: bool = False
    flag: str | None = None


def _no_files(options: Mapping[str, Any]) -> Files | None:
    del options
    return None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set that is known by its name.

    Attributes:
      name: str.
      make_spec: Returns the spec for names of tasks, those to pre-train on and those to come; their
        label columns are no features.
      open: Returns the source of its rows for names of tasks, and its options by keyword.
      tasks: Names of the tasks where none are given.
      new_task: Optional str. The task of these that pipelines add; they pre-train on the others.
      options: What it can be told, by name.
      files: Returns the files that it reads, given its options, for TFX to fingerprint. None: it
        reads none.
    """

    name: str
    make_spec: Callable[[Sequence[str]], DatasetSpec]
    open: "Callable[..., Source]"
    tasks: tuple[str, ...]
    new_task: str | None = None
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)
    files: Callable[[Mapping[str, Any]], Files | None] = _no_files

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Rejects options that the data set does not have.

        Raises:
          InputError: naming the option.
        """
        odd = [name for name in options if name not in self.options]
        if odd:
            takes = f"; it takes {', '.join(self.options)}" if self.options else ""
            raise InputError(f"data set {self.name!r} takes no {odd[0]}{takes}.")


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
