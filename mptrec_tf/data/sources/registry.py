"""Opens a data set by its name, as the programs' flags give it; reading it imports TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.sources import census_income_spec, synthetic_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import load
from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.storage.file_systems import is_remote

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

BUILT_IN = ("synthetic", "census_income")


def built_in_spec(dataset: str, tasks: Sequence[str] | None = None) -> DatasetSpec:
    """Returns the spec of a built-in data set.

    Raises:
      InputError: for an unknown data set or task.
    """
    if dataset == "synthetic":
        return synthetic_spec.make_spec(tasks or synthetic_spec.TASKS)
    if dataset == "census_income":
        return census_income_spec.make_spec(tasks or census_income_spec.DEFAULT_TASKS)
    raise _unknown(dataset)


def open_source(
    dataset: str,
    *,
    data_dir: str | None = None,
    tasks: Sequence[str] | None = None,
    rows: int | None = None,
    seed: int = 1,
) -> Source:
    """Opens a built-in data set.

    Args:
      dataset: "synthetic" or "census_income".
      data_dir: census_income: directory of the original files.
      tasks: Names of the tasks, known ones and those to come. Their label columns are left out of
        the features. By default all of `synthetic`, and the paper's three of `census_income`.
      rows: synthetic: training rows, 6 or more; validation and test have a sixth and a third of
        that.
      seed: synthetic: same seed, same rows.

    Raises:
      InputError: for an unknown data set or task, an option that the data set does not have, or
        files that are not there.
    """
    if dataset == "synthetic":
        if data_dir:
            raise InputError("the synthetic data set is made, not read: it takes no data_dir.")
        counts = None
        if rows is not None:
            if rows < 6:
                raise InputError(f"the number of rows must be 6 or more, not {rows}.")
            counts = {"train": rows, "validation": rows // 6, "test": rows // 3}
        from mptrec_tf.data.sources.synthetic import Synthetic

        return Synthetic(counts, seed, tasks or synthetic_spec.TASKS)
    if dataset == "census_income":
        if rows is not None:
            raise InputError("the number of rows can be chosen for the synthetic data set only.")
        from mptrec_tf.data.sources.census_income import CensusIncome

        return CensusIncome(data_dir, tasks or census_income_spec.DEFAULT_TASKS)
    raise _unknown(dataset)


def check_files(patterns: Sequence[str]) -> None:
    """Rejects paths of this machine at which there is no file; globs are for who reads them.

    Raises:
      InputError: naming the path.
    """
    for path in patterns:
        plain = not (is_remote(path) or path.startswith("tfds:") or set(path) & set("*?[\\"))
        if plain and (not os.path.exists(path) or os.path.isdir(path)):
            raise InputError(f"no file matches {path!r}; give an existing file or a glob.")


def _unknown(dataset: str) -> InputError:
    return InputError(
        f"unknown data set {dataset!r}: built in are {' and '.join(BUILT_IN)}, "
        f"your own is described in a spec file{did_you_mean(dataset, BUILT_IN)}"
    )


def open_tabular(spec: str | os.PathLike[str], patterns: Mapping[str, Sequence[str]]) -> Source:
    """Opens a user's own files.

    Args:
      spec: Path of the YAML spec.
      patterns: File paths or globs by split.

    Raises:
      InputError: for a spec that is wrong or a pattern that matches no file.
    """
    from mptrec_tf.data.sources.tabular import Tabular

    return Tabular(load(spec), patterns)
