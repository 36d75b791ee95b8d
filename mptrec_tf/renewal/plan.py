"""What a renewal trains: the tasks of the model in production, with the settings that they had.

Imports no TensorFlow, so that errors are reported before that import, which takes seconds.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.artifacts.manifests import (
    BackboneDescription,
    PackageDescription,
    describe_backbone,
)
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.version_contents import describe_parts, find_version
from mptrec_tf.models.heads.registry import AUTO, HEADS, check_fits
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import select_free_fields
from mptrec_tf.storage.file_systems import get_file_system
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

# In a version that a renewal pushed: which version it renews, and what was accepted.
RENEWAL = "assets.extra/renewal.json"
# Fields of heads' shapes that follow from the data.
_OF_DATA = ("type", "id_ranges", "table_ranges")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A renewal.

    Attributes:
      base_path: str. TF Serving's base path of the model.
      version: str. The directory of the version in production, which is renewed.
      fingerprint: str. That of its backbone.
      spec: The features, and all tasks of the new model, as they are before any row is read.
      pretraining: The new backbone and its training.
      heads: How each added task is trained, by name.
      retired: Names of tasks that the new model leaves out.
    """

    base_path: str
    version: str
    fingerprint: str
    spec: DatasetSpec
    pretraining: PretrainingConfig
    heads: Mapping[str, NewTaskConfig]
    retired: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """The number of the version in production."""
        return int(os.path.basename(self.version))

    def record(self, accepted: Sequence[str] = ()) -> dict[str, Any]:
        """Returns what the new version records: what it renews, and the tasks that it lacks.

        Args:
          accepted: Tasks for which it is pushed in spite of their verdicts.
        """
        return {
            "renews": self.number,
            "backbone": self.fingerprint,
            "retired": list(self.retired),
            "accepted": list(accepted),
        }

    def to_plain(self) -> dict[str, Any]:
        """Returns what a renewal depends on; one that was stopped continues only if it is equal."""
        return {
            "version": self.number,
            "fingerprint": self.fingerprint,
            "spec": self.spec.to_plain(),
            "pretraining": to_plain(self.pretraining),
            "heads": {name: to_plain(config) for name, config in self.heads.items()},
        }


def make_plan(
    base_path: str,
    *,
    promote: Sequence[str] = (),
    retire: Sequence[str] = (),
    head: str | None = None,
    seed: int | None = None,
    public_key: "ed25519.Ed25519PublicKey | None" = None,
) -> Plan:
    """Reads the newest version of a model, and returns how to train all of it anew.

    Args:
      base_path: TF Serving's base path of the model.
      promote: Names of added tasks that the new backbone is pre-trained on.
      retire: Names of tasks that the new model leaves out.
      head: Optional. A name in `HEADS`, or "auto", for all added tasks; defaults to the kind that
        each has.
      seed: Optional. Defaults to the seeds that were used.
      public_key: Optional. The version must be signed with the private key that belongs to it: what
        will be signed must not be made from what somebody else changed.

    Raises:
      InputError: if there is no version, it does not hold its parts or one of its files was
        changed, a name is not a task that can be promoted or retired, the head does not fit the
        model, or nothing is left to pre-train.

    Example:
          plan = make_plan("saved_models/shop", promote=["share"])
          plan.pretraining.tasks  # ("click", "like", "share")
    """
    base_path = base_path.rstrip("/")
    version = find_version(base_path)
    check_version(version, public_key)
    backbone, packages = describe_parts(version)
    if head and head != AUTO:
        check_fits((head,), MODELS.get(backbone.model).offers, backbone.model)
    old, added = backbone.shape.tasks, {package.task.name: package for package in packages}
    check_names("promote", promote, added)
    check_names("retire", retire, (*old, *added))
    for name in {*promote} & {*retire}:
        raise InputError(f"task {name!r} is both to be promoted and to be retired; give one.")
    names = tuple(name for name in (*old, *promote) if name not in retire)
    if not names:
        raise InputError(
            f"--retire names all pre-trained tasks of {version} ({', '.join(old)}); promote an "
            "added task, or leave one."
        )
    remaining = [p for name, p in added.items() if name not in {*promote, *retire}]
    by_name = {task.name: task for task in backbone.spec.select_tasks(old)}
    by_name |= {name: package.task for name, package in added.items()}
    tasks = [by_name[name].unfitted() for name in (*names, *(p.task.name for p in remaining))]
    _check_given(tasks, names)
    spec = dataclasses.replace(backbone.spec, tasks=tuple(tasks), example_types={})
    return Plan(
        base_path,
        version,
        backbone.fingerprint,
        spec,
        _renew_pretraining(backbone, names, seed),
        {package.task.name: _renew_head(package, head, seed) for package in remaining},
        tuple(retire),
    )


def check_not_pushed(base_path: str, directory: str) -> None:
    """Rejects a renewal whose candidate was pushed: nothing is left to do.

    Args:
      base_path: TF Serving's base path of the model.
      directory: That of the renewal.

    Raises:
      InputError: naming the version.
    """
    done = os.path.join(directory, "backbone")
    if not get_file_system(done).isdir(done):
        return
    version = find_version(base_path)
    if describe_parts(version)[0].fingerprint == describe_backbone(done).fingerprint:
        raise InputError(
            f"the renewal in {directory} was pushed already, as {version} shows; to renew that "
            "version, give another --output_dir."
        )


def check_names(flag: str, names: Sequence[str], known: Sequence[str] | Mapping) -> None:
    """Rejects names of a flag that are no tasks, or come twice.

    Args:
      flag: Its name.
      names: What it names.
      known: The tasks that it may name.

    Raises:
      InputError: naming the flag and the task.
    """
    what = "added tasks" if flag == "promote" else "tasks"
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--{flag} names {name!r} twice; name each task once.")
        if name not in known:
            raise InputError(
                f"--{flag} names {name!r}, and the {what} of the model are: "
                f"{', '.join(known) or 'none'}{did_you_mean(name, known)}"
            )


def _check_given(tasks: Sequence[Task], pretrained: Sequence[str]) -> None:
    """Rejects a task whose `given` would be retired, or pre-trained after it."""
    names = [task.name for task in tasks]
    for task in tasks:
        if task.given and task.given not in names:
            raise InputError(
                f"task {task.name!r} is given {task.given!r}, which --retire names; retire both."
            )
        if task.given and task.given not in pretrained:
            raise InputError(
                f"task {task.name!r} is given {task.given!r}, which is not pre-trained; promote "
                "both, or none."
            )


def _renew_pretraining(
    backbone: BackboneDescription, tasks: tuple[str, ...], seed: int | None
) -> PretrainingConfig:
    for name in ("losses", "training"):
        if name not in backbone.training:
            raise InputError(
                f"{backbone.directory} has no record of its {name}, as one that was saved from "
                "Python may have none: it cannot be trained again in the same way; use "
                "mptrec-pretrain."
            )
    losses = dict(backbone.training["losses"])
    weights = losses.get("loss_weights", "")
    if isinstance(weights, str) and "," in weights and tasks != backbone.shape.tasks:
        raise InputError(
            f"the backbone was trained with --loss_weights={weights}, a number for each of "
            f"{', '.join(backbone.shape.tasks)}, and the new one has other tasks; use "
            "mptrec-pretrain, with other weights."
        )
    training = dict(backbone.training["training"])
    config = PretrainingConfig.from_plain(
        {
            "tasks": tasks,
            "model": backbone.model,
            "shape": to_plain(select_free_fields(backbone.shape)),
            "losses": losses,
            "training": training | ({} if seed is None else {"seed": seed}),
        }
    )
    config.check_fields()
    return config


def _renew_head(package: PackageDescription, head: str | None, seed: int | None) -> NewTaskConfig:
    trained = package.training.get("training")
    if trained is None and not head:
        raise InputError(
            f"{package.directory} has no record of its training, as one that was saved from Python "
            f"may have none: task {package.task.name!r} cannot be trained again in the same way; "
            "give --head, such as auto, which trains all added tasks by its recipe."
        )
    config = TrainingConfig(**(trained or {}))
    seeds = {"seed": config.seed if seed is None else seed}
    if head:
        return NewTaskConfig(head, training=seeds)
    shape = {name: value for name, value in package.head.items() if name not in _OF_DATA}
    return NewTaskConfig.from_plain(
        {"head": find_kind(package.head), "shape": shape, "training": to_plain(config) | seeds}
    )


def find_kind(head: Mapping[str, Any]) -> str:
    """Returns the name in `HEADS` of the kind that a stored head's shape is nearest to.

    Kinds of one layer have the same type there: the one most of whose fields the shape has.

    Args:
      head: What `shape_to_plain` returned.
    """
    of_type = HEADS.get(head.get("type", "prompt"))

    def count_same(name: str) -> int:
        fields = to_plain(HEADS.get(name).fields)
        same = sum(head.get(field) == value for field, value in fields.items())
        return 2 * same - len(fields)

    names = [name for name, kind in HEADS.all().items() if kind.shape is of_type.shape]
    return max(names, key=count_same)
