r"""Prints the lineage of a pushed model: data, schema, backbone, tasks, evaluations, blessings.

    mptrec-lineage --model=saved_models/mptrec/3 --output=lineage.json

It reads the ML Metadata that the pipelines wrote. The generations of the backbone are those that
the versions themselves record, also where mptrec-refresh pushed them.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from absl import flags

from mptrec_tf.bin import output_files, program
from mptrec_tf.errors import InputError

_MODEL = flags.DEFINE_string(
    "model", None, "A pushed version, or TF Serving's base path for its newest version."
)
_METADATA = flags.DEFINE_string(
    "metadata",
    None,
    "ML Metadata (SQLite). Default: metadata.sqlite in the root of the pipelines that made it.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Also write it to this file as JSON; -: standard output."
)
flags.mark_flag_as_required("model")


def find_metadata(model_uri: str) -> str:
    """Returns the path of the ML Metadata in a directory above a Model artifact.

    Raises:
      InputError: if there is none.
    """
    directory = os.path.dirname(model_uri)
    while directory and directory != os.path.dirname(directory):
        path = os.path.join(directory, "metadata.sqlite")
        if os.path.exists(path):
            return path
        directory = os.path.dirname(directory)
    raise InputError(f"there is no metadata.sqlite above {model_uri}; name it by --metadata.")


def trace_model(version: str, metadata_path: str | None = None) -> dict[str, Any]:
    """Returns the lineage of a pushed version as plain data.

    Args:
      version: The version's directory.
      metadata_path: ML Metadata of the pipelines; by default it is searched for.

    Returns:
      `version`, `push`, `backbone`, `versions`, `trainings`, the newest first: each a run that
      added a task, the last the pre-training; and `generations` of the backbone, the newest first.

      Of a version that mptrec-refresh pushed, ML Metadata knows nothing: `version` and
      `generations`.

    Raises:
      InputError: if neither pushed the version, or a part of its lineage is gone.
    """
    from components import model_artifact
    from components.pusher.executor import read_pushed_model
    from mptrec_tf.export.versions import CARD
    from pipelines.metadata import Metadata

    version = version.rstrip("/") if "://" in version else os.path.abspath(version)
    generations = describe_generations(version)
    if _was_pushed_by_program(version):
        return {"version": version, "generations": generations}
    uri = read_pushed_model(version)
    metadata = Metadata(metadata_path or find_metadata(uri))
    push = metadata.find_producer(metadata.find_pushed(version))
    if push is None:
        raise InputError(f"ML Metadata in {metadata.path} has no record of what pushed {version}.")
    model = model_artifact.load(uri)
    trainings, at = [_describe_training(metadata, uri, push)], model.base
    while at:
        trainings.append(_describe_training(metadata, at))
        at = trainings[-1]["base_model"]
    card = json.loads(_read(os.path.join(version, CARD)))
    return {
        "version": version,
        "push": _describe_run(push),
        "model": uri,
        "backbone": {
            "fingerprint": model.backbone.fingerprint,
            "tasks": list(model.backbone.shape.tasks),
        },
        "added_tasks": [package.task.name for package in model.packages],
        "versions": {"mptrec_tf": card["mptrec_tf"], "tensorflow": card["tensorflow"]},
        "trainings": trainings,
        "generations": generations,
    }


def _was_pushed_by_program(version: str) -> bool:
    """Whether mptrec-refresh pushed a version."""
    from components.pusher.executor import PUSHED_FILE
    from mptrec_tf.renewal.plan import RENEWAL
    from mptrec_tf.storage.file_systems import get_file_system

    exists = get_file_system(version).exists
    return exists(os.path.join(version, RENEWAL)) and not exists(os.path.join(version, PUSHED_FILE))


def describe_generations(version: str) -> list[dict[str, Any]]:
    """Returns the generations of the backbone up to a version as plain data, the newest first."""
    from mptrec_tf.renewal.generations import list_generations

    return [
        {
            "backbone": of.backbone,
            "tasks": list(of.tasks),
            "versions": [
                {"version": number, "added_tasks": list(added)}
                for number, added in of.versions.items()
            ],
            "renews": of.renews,
            "retired": list(of.retired),
            "accepted": list(of.accepted),
        }
        for of in list_generations(version)
    ]


def _describe_training(metadata, uri: str, push=None) -> dict[str, Any]:
    """Describes the run that trained a Model artifact, and the checks of its model.

    Args:
      metadata: Where to read.
      uri: The Model artifact.
      push: The Pusher's run whose blessings count; by default all blessings count.
    """
    from components import model_artifact

    artifact = metadata.find_artifact(uri)
    made_by = metadata.find_producer(artifact)
    if made_by is None:
        raise InputError(f"ML Metadata in {metadata.path} has no record of what made {uri}.")
    model = model_artifact.load(uri)
    inputs = metadata.read_inputs(made_by)
    tasks = [model.added] if model.added else list(model.backbone.shape.tasks)
    packages = {package.task.name: package.training for package in model.packages}
    record = packages[model.added] if model.added else model.backbone.training
    best = record["history"][record["best_epoch"]]
    examples = inputs["examples"][0]
    read = {**_find_gate_inputs(metadata, made_by, examples), **inputs}
    checks = _find_checks(metadata, artifact, push)
    return {
        "tasks": tasks,
        "component": made_by.node,
        "run": _describe_run(made_by),
        "model": uri,
        "package": model.added and model_artifact.package_directory(uri, model.added),
        "validation_scores": _collect_validation_scores(model.tasks_by_name, tasks, best),
        "best_epoch": record["best_epoch"] + 1,
        "data": _describe_data(examples, tasks),
        "inputs": {
            key: {"uri": read[key][0].uri, "sha256": _hash_files(read[key][0].uri)}
            for key in ("schema", "statistics", "transform_graph")
            if key in read
        },
        "base_model": model.base,
        "renews": _find_renewed(model, inputs),
        "tfx": artifact.properties.get("tfx_version"),
        "evaluations": [
            {"run": _describe_run(e), "scores": _read_scores(metadata, e, model)}
            for e, _ in checks
            if e.node == "Evaluator"
        ],
        "blessings": [
            {"by": e.node, "run": _describe_run(e), "blessed": bool(blessing.properties["blessed"])}
            for e, blessing in checks
        ],
    }


def _find_renewed(model, inputs: Mapping[str, Any]) -> str | None:
    """Returns the URI of the model whose backbone a pre-training renewed."""
    renewed = [] if model.added else inputs.get("base_model", [])
    return renewed[0].uri if renewed else None


def _collect_validation_scores(
    known, tasks: list[str], best: Mapping[str, float]
) -> dict[str, Any]:
    """Returns the best epoch's scores of tasks, by the name of the score and by task."""
    scores: dict[str, dict[str, float]] = {}
    for task in tasks:
        of = known[task]
        scores.setdefault(of.score_name, {})[task] = best[of.score_log]
    return scores


def _find_checks(metadata, model, push) -> list[tuple[Any, Any]]:
    """Returns executions that checked a model, and their blessings, ordered by time."""
    if push:
        read = metadata.read_inputs(push)
        names = ("evaluation", "frozen_tasks", "serving")
        blessings = [blessing for name in names for blessing in read.get(name, ())]
        checks = [(metadata.find_producer(blessing), blessing) for blessing in blessings]
    else:
        # Not those that read it as the model in production.
        checks = [
            (e, blessing)
            for e in metadata.find_readers(model)
            if model.id in [a.id for a in metadata.read_inputs(e).get("model", ())]
            for blessing in metadata.read_outputs(e).get("blessing", ())
        ]
    return sorted((check for check in checks if check[0]), key=lambda check: check[0].id)


def _find_gate_inputs(metadata, trainer, examples) -> dict[str, list]:
    """Returns the inputs of the data gate before a training: statistics and schema of the data."""
    gates = [
        e
        for e in metadata.find_readers(examples, cached=True)
        if e.node == "DataGate" and e.id < trainer.id
    ]
    # The gate of the same run; the latest one where an engine names runs differently.
    gate = max(gates, key=lambda e: (e.run == trainer.run, e.id), default=None)
    return metadata.read_inputs(gate) if gate else {}


def _describe_run(execution) -> dict[str, Any]:
    began = datetime.datetime.fromtimestamp(execution.created / 1000, datetime.timezone.utc)
    return {
        "pipeline": execution.pipeline,
        "run": execution.run,
        "began": began.isoformat(timespec="seconds"),
        "seconds": round(execution.seconds, 1),
    }


def _describe_data(examples, tasks: list[str]) -> dict[str, Any]:
    from mptrec_tf.data.raw_examples import read_description

    description = read_description(examples.uri)
    return {
        "data_set": description["spec"].name,
        "uri": examples.uri,
        "rows_fingerprint": description["fingerprint"],
        "rows": {split: counts["rows"] for split, counts in description["splits"].items()},
        "labels": {
            split: {task: counts["tasks"][task] for task in tasks}
            for split, counts in description["splits"].items()
        },
    }


def _hash_files(directory: str) -> str:
    """Returns SHA-256 over the names and contents of all files of a directory."""
    import tensorflow as tf

    if not tf.io.gfile.isdir(directory):
        raise InputError(f"{directory} is gone; restore it, as the model was made from it.")
    digest = hashlib.sha256()
    for folder, _, names in sorted(tf.io.gfile.walk(directory)):
        for name in sorted(names):
            path = os.path.join(folder, name)
            digest.update(os.path.relpath(path, directory).encode() + b"\n" + _read(path))
    return digest.hexdigest()


def _read(path: str) -> bytes:
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path}: {error.message}.") from error


def _read_scores(metadata, evaluator, model) -> dict[str, dict[str, float]]:
    """Returns scores by task of the candidate and, where there was one, of production's model."""
    import tensorflow as tf

    from components.evaluation.measuring import BASELINE, CANDIDATE
    from pipelines.results import RunResults

    keys = {name: task.score_key for name, task in model.tasks_by_name.items()}
    results = RunResults(metadata, {"Evaluator": evaluator})
    models = [CANDIDATE]
    if "baseline_model" in metadata.read_inputs(evaluator):
        models.append(BASELINE)
    uri = results.artifact("Evaluator", "evaluation").uri
    if not tf.io.gfile.isdir(uri):
        raise InputError(f"cannot read the evaluation in {uri}: it is gone; restore it.")
    try:
        return {
            name: {
                task: values[keys[task]]
                for task, values in results.load_metrics(name).items()
                if task in keys
            }
            for name in models
        }
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise InputError(f"cannot read the evaluation in {uri}; use an untouched copy.") from error


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.export.versions import find_newest_version

    output = output_files.prepare(_OUTPUT.value) if _OUTPUT.value else None
    version = find_newest_version(_MODEL.value)

    # Slow imports come after the checks of flags.
    from rich.console import Console

    from mptrec_tf.evaluation.report import to_json
    from mptrec_tf.storage.destinations import display_path
    from mptrec_tf.storage.directories import write_file
    from pipelines.lineage_tree import make_tree

    lineage = trace_model(version, _METADATA.value)
    console = Console()
    width = console.width if console.is_terminal else 200
    Console(width=width).print(make_tree(lineage), highlight=False, markup=False, soft_wrap=True)
    if output:
        write_file(output, to_json(lineage) + "\n")
        print(f"written to {display_path(output)}")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
