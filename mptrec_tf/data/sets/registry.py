"""The data sets, by name: a line each. Only opening one imports TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.sets.data_set import DataSet
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.kinds import Registry
from mptrec_tf.storage.file_systems import is_remote

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

DATASETS: Registry[DataSet] = Registry(
    "data set",
    {
        "synthetic": "mptrec_tf.data.sets.synthetic.spec:SYNTHETIC",
        "synthetic_logs": "mptrec_tf.data.sets.synthetic_logs.spec:SYNTHETIC_LOGS",
        "synthetic_days": "mptrec_tf.data.sets.synthetic_days.spec:SYNTHETIC_DAYS",
        "ali_ccp": "mptrec_tf.data.sets.ali_ccp.spec:ALI_CCP",
        "aliexpress": "mptrec_tf.data.sets.aliexpress.spec:ALIEXPRESS",
        "byte_rec": "mptrec_tf.data.sets.byte_rec.spec:BYTE_REC",
        "census_income": "mptrec_tf.data.sets.census_income.spec:CENSUS_INCOME",
        "kuairand": "mptrec_tf.data.sets.kuairand.spec:KUAIRAND",
        "movielens": "mptrec_tf.data.sets.movielens.spec:MOVIELENS",
    },
)


def make_built_in_spec(dataset: str, tasks: Sequence[str] | None = None) -> DatasetSpec:
    """Returns the spec of a data set that is known by its name.

    Raises:
      InputError: for an unknown data set or task.
    """
    of = DATASETS.get(dataset)
    return of.make_spec(tasks or of.tasks)


def open_source(dataset: str, *, tasks: Sequence[str] | None = None, **options: Any) -> Source:
    """Opens a data set that is known by its name.

    Args:
      dataset: Its name.
      tasks: Names of the tasks, those to pre-train on and those to add. Their label columns are
        left out of the features. Defaults to the data set's own.
      **options: The data set's options; None counts as not given.

    Raises:
      InputError: for an unknown data set, task or option, or for missing files.

    Example:
      >>> source = open_source("synthetic", tasks=["click"], rows=600)
      >>> source.estimated_rows("train")
      600
    """
    of = DATASETS.get(dataset)
    given = {name: value for name, value in options.items() if value is not None}
    of.check_options(given)
    return of.open(tuple(tasks or of.tasks), **given)


def check_files(patterns: Sequence[str]) -> None:
    """Rejects local paths without a file; globs are checked when they are read.

    Raises:
      InputError: naming the path.
    """
    for path in patterns:
        plain = not (is_remote(path) or path.startswith("tfds:") or set(path) & set("*?[\\"))
        if plain and not os.path.exists(path):
            raise InputError(f"no file matches {path!r}; give an existing file or a glob.")
