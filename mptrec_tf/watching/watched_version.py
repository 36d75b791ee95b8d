"""The version of a model that is watched: its columns, its tasks and its baseline.

Imports no TensorFlow, so that errors in a model's directory are reported at once.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from mptrec_tf.artifacts.manifests import BASELINE
from mptrec_tf.data.distributions import Distribution, distribution_from_plain
from mptrec_tf.data.input_names import make_input_names
from mptrec_tf.data.prepared import transform_directory
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.version_contents import describe_parts, find_parts
from mptrec_tf.export.versions import find_newest_version
from mptrec_tf.storage.json_files import explain_damage


@dataclasses.dataclass(frozen=True)
class WatchedVersion:
    """A version of an exported model, and what its training rows and predictions were like.

    Attributes:
      path: str. The version's directory.
      number: Optional int. Its number; None if the directory is not named by one.
      spec: Features, and the format of text files.
      tasks: All tasks that it predicts.
      inputs: Input of the signature `columns` by column of the spec.
      transform_dir: str. The directory of its preprocessing graph.
      rows: int. Training rows that the distributions are of.
      columns: Distribution by packed column, in the training rows.
      fresh: By packed column, how validation rows differed from the training rows when the model
        was trained: `drift`, and `unknown` (None without a vocabulary).
      task_baselines: By task, what `training.baseline.describe_task` returned; a task that an
        earlier release trained has none.
    """

    path: str
    number: int | None
    spec: DatasetSpec
    tasks: tuple[Task, ...]
    inputs: Mapping[str, str]
    transform_dir: str
    rows: int
    columns: Mapping[str, Distribution]
    fresh: Mapping[str, Mapping[str, float | None]]
    task_baselines: Mapping[str, Mapping[str, Any]]


def open_version(path: str) -> WatchedVersion:
    """Opens a version to watch.

    Args:
      path: A base path, whose newest version is meant, or a version.

    Raises:
      InputError: if there is none, it was changed, or an earlier release trained it, which did not
        store what its rows were like.
    """
    version = find_newest_version(path)
    check_version(version)
    backbone, packages = describe_parts(version)
    baseline = backbone.training.get(BASELINE)
    if not baseline:
        raise InputError(
            f"{version} does not hold what its training rows were like, as an earlier release of "
            "mptrec_tf trained it; train it anew to watch it (mptrec-refresh --model=...)."
        )
    with explain_damage(backbone.directory, "backbone.json"):
        columns = {n: distribution_from_plain(of) for n, of in baseline["columns"].items()}
        tasks = dict(baseline["tasks"])
        for package in packages:
            tasks |= package.training.get(BASELINE, {}).get("tasks", {})
        name = os.path.basename(version.rstrip("/"))
        return WatchedVersion(
            version,
            int(name) if name.isdigit() else None,
            backbone.spec,
            (
                *backbone.spec.select_tasks(backbone.shape.tasks),
                *(package.task for package in packages),
            ),
            make_input_names(backbone.spec.raw_columns),
            transform_directory(os.path.join(find_parts(version), "backbone")),
            int(baseline["rows"]),
            columns,
            baseline["fresh"],
            tasks,
        )
