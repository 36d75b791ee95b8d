"""Trains a model in production anew, from raw rows to a candidate for production's place.

    <directory>/
      plan.json         what is renewed, and with which settings
      data/             the new rows, prepared: new vocabularies, new statistics
      backbone/         the new backbone
      tasks/<task>/     a package of each added task
      model/1/          the candidate: a SavedModel with all tasks
      comparison.json   its scores beside those of production

Each part appears whole or not at all, so a renewal that was stopped goes on with the part that is
not there, and a training after its last epoch.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from mptrec_tf.artifacts.backbones import StoredBackbone, load_backbone, save_trained_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage, load_package, save_trained_package
from mptrec_tf.data.prepare import count_reads, prepare
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.sources.block import Source, read_split
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.tasks.row_labels import SKIP
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.gate import Gate, Verdict, list_accepted
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.export.integrity import check_version, sign_version, write_manifest
from mptrec_tf.export.serving_model import export
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.export.versions import choose_next_version, find_newest_version
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.progress import report_progress
from mptrec_tf.renewal.plan import RENEWAL, Plan
from mptrec_tf.renewal.verdict import judge
from mptrec_tf.renewal.warm_head import WarmHead, find_warm_head
from mptrec_tf.renewal.warm_start import WarmStart
from mptrec_tf.storage.directories import (
    copy_directory,
    create_directory,
    exclusive_lock,
    write_file,
)
from mptrec_tf.storage.file_systems import explain_failure, is_remote
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.batches import Rows
from mptrec_tf.training.new_task import learn
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.representations import encode_task, select_task
from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

PLAN, COMPARISON = "plan.json", "comparison.json"
_DATA, _BACKBONE, _TASKS, _MODEL = "data", "backbone", "tasks", "model"


def refresh(
    plan: Plan,
    source: Source,
    directory: str,
    *,
    warm: bool = True,
    gate: Gate = Gate(),  # noqa: B008 (frozen)
    beam_args: Sequence[str] = (),
    memory_limit: int = MEMORY_LIMIT,
) -> list[Verdict]:
    """Trains all of a model anew on new rows, and compares it with production.

    Args:
      plan: What is renewed.
      source: The new rows, with the spec of the plan.
      directory: Where all of it is written; a renewal that was stopped there goes on.
      warm: Whether the new backbone begins with the weights of the old one.
      gate: What the candidate must not do to a task.
      beam_args: The Beam runner's own flags.
      memory_limit: Bytes that the process may take, see `RunContext`.

    Returns:
      Verdicts on each task that production has, too.

    Raises:
      InputError: if the directory holds another renewal, another process is at work in it, or the
        rows, a task or a training fail, as those of `prepare`, `pretrain` and `learn` do.

    Example:
          plan = make_plan("saved_models/shop")
          verdicts = refresh(plan, Tabular(plan.spec, {"train": ["march/*.csv"], ...}), "REFRESH")
          if not list_blocking(verdicts, accepted=()):
              push(plan, "REFRESH", verdicts, accepted=())
    """
    _check_place(plan.base_path, directory)
    with explain_failure(f"cannot write {directory}"):
        tf.io.gfile.makedirs(directory)
    with exclusive_lock(directory):
        rows = _describe_rows(source)
        _check_plan(directory, {**plan.to_plain(), "rows": rows, "warm": warm})
        data = _prepare(source, f"{directory}/{_DATA}", beam_args)
        old, old_packages = load_parts(plan.base_path, plan.number)
        backbone = _pretrain(
            plan, data, f"{directory}/{_BACKBONE}", old if warm else None, memory_limit
        )
        packages = _learn_all(
            plan,
            data,
            backbone,
            f"{directory}/{_TASKS}",
            (old, old_packages) if warm else None,
            memory_limit,
        )
        if not tf.io.gfile.isdir(f"{directory}/{_MODEL}/1"):
            export(backbone, packages, f"{directory}/{_MODEL}")
        verdicts = _compare(plan, data, source, directory, gate)
        content = {"production": plan.version, "tasks": [dataclasses.asdict(v) for v in verdicts]}
        write_file(os.path.join(directory, COMPARISON), to_json(content))
    return verdicts


def _check_place(base_path: str, directory: str) -> None:
    """Rejects a directory in the model, or with files that are no renewal's."""
    inner, outer = (p if is_remote(p) else os.path.realpath(p) for p in (directory, base_path))
    if f"{inner}/".startswith(f"{outer}/"):
        raise InputError(
            f"{directory} is in {base_path}, from which versions are served; give another "
            "--output_dir."
        )
    if tf.io.gfile.isdir(directory) and not tf.io.gfile.exists(os.path.join(directory, PLAN)):
        # A renewal that was killed at once may have left the other two.
        names = sorted(tf.io.gfile.listdir(directory))
        others = [name for name in names if not name.startswith(("lock", PLAN))]
        if others:
            raise InputError(
                f"{directory} holds {others[0].rstrip('/')!r} and no renewal ({PLAN}); give a new "
                "--output_dir."
            )


def _describe_rows(source: Source) -> dict[str, Any]:
    """Returns what tells some rows from others; it does not depend on the working directory."""

    def describe(shard: Any) -> list[str]:
        parts = shard if isinstance(shard, tuple) else (shard,)
        return [
            os.path.abspath(part) if isinstance(part, str) and os.path.exists(part) else str(part)
            for part in parts
        ]

    if hasattr(source, "join"):
        # Rows are joined anew by each program, into files of its own.
        return {"files": source.original_files()}
    first = next(filter(len, read_split(source, "test")), None)
    row = {name: str(first.column(name)[0]) for name in first.columns} if first else {}
    return {
        "shards": {split: [describe(of) for of in source.shards(split)] for split in SPLITS},
        "rule": (describe_split(source) or {}).get("rule"),
        "text_format": to_plain(source.spec.text_format),
        "first_test_row": row,
    }


def _check_plan(directory: str, plan: dict[str, Any]) -> None:
    """Writes the plan, or checks that it is the one that was begun."""
    path = os.path.join(directory, PLAN)
    plan = json.loads(json.dumps(plan))
    # Without data nothing was done, and a mistake in the flags can be mended.
    if not (tf.io.gfile.exists(path) and tf.io.gfile.isdir(f"{directory}/{_DATA}")):
        write_file(path, json.dumps(plan, indent=2))
        return
    try:
        with tf.io.gfile.GFile(path) as file:
            begun = json.load(file)
        changed = sorted(key for key in plan if begun.get(key) != plan[key])
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged; remove {directory} to begin anew.") from error
    if "version" in changed:
        raise InputError(
            f"{directory} holds a renewal of version {begun.get('version')}, and the newest is "
            f"{plan['version']} now; renew that one with another --output_dir."
        )
    if changed:
        raise InputError(
            f"{directory} holds another renewal, which differs in its {', '.join(changed)}; give "
            "the same flags to go on with it, another --output_dir, or remove that directory."
        )


def _prepare(source: Source, directory: str, beam_args: Sequence[str]) -> PreparedData:
    if tf.io.gfile.isdir(directory):
        return PreparedData(directory)
    check_label_columns(source)
    with report_progress("preparing", count_reads(source)) as on_rows:
        return prepare(source, directory, beam_args=beam_args, on_rows=on_rows)


def check_label_columns(source: Source) -> None:
    """Rejects rows without the label column of a task that needs one.

    Args:
      source: The new rows.

    Raises:
      InputError: naming the task.
    """
    for split in SPLITS:
        block = next(filter(len, read_split(source, split)), None)
        for task in source.spec.tasks if block else ():
            if task.missing != SKIP and task.label not in block.columns:
                raise InputError(
                    f"{block.source} has no column {task.label!r}, the label of task {task.name!r};"
                    f" give rows that have it, or retire the task: --retire={task.name}."
                )


def _pretrain(
    plan: Plan,
    data: PreparedData,
    directory: str,
    old: StoredBackbone | None,
    memory_limit: int,
) -> StoredBackbone:
    if tf.io.gfile.isdir(directory):
        return load_backbone(directory)
    context = RunContext(f"{directory}.training", title="pre-training", memory_limit=memory_limit)
    warm = WarmStart(old, data) if old else None
    config = warm.shorten(plan.pretraining) if warm else plan.pretraining
    model, result = pretrain(data, config, context, begin=warm and warm.begin)
    record = plan.pretraining.record()
    return save_trained_backbone(directory, model, data, record, result, context.directory)


def _learn_all(
    plan: Plan,
    data: PreparedData,
    backbone: StoredBackbone,
    directory: str,
    old: tuple[StoredBackbone, Sequence[TaskPackage]] | None,
    memory_limit: int,
) -> list[TaskPackage]:
    """Trains the added tasks one after the other, on representations that they share."""
    names = list(plan.heads)
    missing = [name for name in names if not tf.io.gfile.isdir(f"{directory}/{name}")]
    context = RunContext(f"{directory}.encoded", title="encoding", memory_limit=memory_limit)
    if missing:
        # Of all tasks: whether rows fit in memory, and their order, is as it was before a kill.
        encoded = encode_task(PromptedMPTRec(backbone.model), data, names, context)
    packages = []
    for name, how in plan.heads.items():
        path = f"{directory}/{name}"
        if name in missing:
            warm = old and find_warm_head(old[1], name, how, old[0], backbone)
            rows = select_task(encoded, names, name)
            packages.append(_learn(plan, name, data, backbone, path, warm, rows))
        else:
            packages.append(load_package(path, backbone))
    if tf.io.gfile.isdir(context.directory):
        tf.io.gfile.rmtree(context.directory)
    return packages


def _learn(
    plan: Plan,
    name: str,
    data: PreparedData,
    backbone: StoredBackbone,
    directory: str,
    warm: WarmHead | None,
    encoded: tuple[Rows, Rows],
) -> TaskPackage:
    context = RunContext(f"{directory}.training", fingerprint=backbone.fingerprint)
    config, begin = plan.heads[name], None
    if warm:
        config, begin = warm.shorten(config), warm.begin
    chosen, candidates = learn(backbone.model, data, name, config, context, encoded, begin)
    [task] = data.spec.select_tasks([name])
    # Those of a whole training: the next renewal begins with them.
    settings = {
        "training": to_plain(plan.heads[name].whole_training(chosen.kind)),
        "candidates": [candidate.row() for candidate in candidates],
        "compared": [],
    }
    new = NewTask(task, chosen.head)
    return save_trained_package(
        directory, new, backbone, data, settings, chosen.result, context.directory
    )


def _compare(
    plan: Plan, data: PreparedData, source: Source, directory: str, gate: Gate
) -> list[Verdict]:
    production, candidate = LoadedModel(plan.version), LoadedModel(f"{directory}/{_MODEL}")
    with report_progress("comparing", data.splits["test"]["rows"]) as on_rows:
        return judge(production, candidate, source, gate, on_rows)


def push(
    plan: Plan,
    directory: str,
    verdicts: Sequence[Verdict],
    accepted: Sequence[str],
    sign_key: "ed25519.Ed25519PrivateKey | None" = None,
) -> str:
    """Makes a candidate the next version of the model; returns its directory.

    Args:
      plan: What was renewed.
      directory: That of the renewal.
      verdicts: What `refresh` returned.
      accepted: Tasks that are pushed in spite of their verdicts; the version records them.
      sign_key: Optional. Signs the version.

    Raises:
      InputError: if another version was pushed meanwhile, or a file of the candidate was changed.
    """
    # Chosen before the check: what is pushed after it takes this place, or is a later version.
    _, path = choose_next_version(plan.base_path)
    _check_newest(plan)
    candidate = f"{directory}/{_MODEL}/1"
    digests = check_version(candidate)
    with create_directory(path) as staging:
        copy_directory(candidate, staging)
        content = {
            **plan.record(list_accepted(verdicts, accepted)),
            "tasks": [dataclasses.asdict(verdict) for verdict in verdicts],
        }
        write_file(os.path.join(staging, RENEWAL), to_json(content))
        # The digests are the candidate's: they would show a damaged copy.
        write_manifest(staging, digests)
        if sign_key is not None:
            sign_version(staging, sign_key)
        _check_newest(plan)
    return path


def _check_newest(plan: Plan) -> None:
    newest = find_newest_version(plan.base_path)
    if newest != plan.version:
        raise InputError(
            f"{newest} was pushed while {plan.version} was renewed, so nothing is pushed; renew "
            "the new version with another --output_dir."
        )
