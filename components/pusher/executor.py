"""Pushes a blessed model as the next version of a serving directory."""

import json
import os
from collections.abc import Mapping

import tensorflow as tf
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.blessing import ACCEPTED, find_rejections
from components.model_artifact import serving_directory
from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import check_version, write_manifest
from mptrec_tf.export.versions import (
    CARD,
    check_base_path,
    choose_next_version,
    list_version_directories,
)
from mptrec_tf.renewal.plan import RENEWAL
from mptrec_tf.storage.directories import copy_directory, create_directory, write_file

# In a pushed version: names the Model artifact that it is a copy of, and the tasks for which it was
# pushed in spite of the Evaluator's verdicts.
PUSHED_FILE = "assets.extra/pushed.json"


def read_pushed_model(version_directory: str) -> str:
    """Returns the URI of the Model artifact that a version was pushed from.

    Raises:
      InputError: if the version was not pushed by a pipeline.
    """
    path = os.path.join(version_directory, PUSHED_FILE)
    try:
        with tf.io.gfile.GFile(path) as file:
            return json.load(file)["model"]
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"{version_directory} was not pushed by a pipeline ({PUSHED_FILE} is missing or "
            "damaged), so a pipeline cannot compare with it; go on with the programs that pushed "
            "it (mptrec-refresh renews it), or give a serving directory whose newest version a "
            "pipeline pushed."
        ) from error


class Executor(base_executor.BaseExecutor):
    """The pusher's executor; see `component.Pusher`."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Pushes the model if all blessings accept it, and records the result in `pushed_model`.

        Raises:
          InputError: if a file of the model is not as it was written, the newest version does not
            list its tasks or was pushed meanwhile, or the serving directory is a version itself.
        """
        model = artifact_utils.get_single_instance(input_dict["model"])
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        base = exec_properties["serving_dir"].rstrip("/")
        rejected = find_rejections(input_dict)
        check_base_path(base)
        versions = list_version_directories(base)
        version, directory = max(versions.items(), default=(0, None))
        lost = set()
        if directory and not exec_properties["may_drop_tasks"]:
            lost = _read_tasks(directory) - _read_tasks(serving_directory(model.uri))
        renewal = json.loads(exec_properties.get("renewal") or "null")
        if renewal:
            lost -= set(renewal["retired"])
        pushed.set_int_custom_property("pushed", int(not rejected and not lost))
        if rejected or lost:
            pushed.set_string_custom_property("rejected_by", ",".join(rejected))
            if lost:
                pushed.set_string_custom_property(
                    "lost_tasks",
                    f"the new model lacks {', '.join(sorted(lost))}, which version {version} in "
                    "production predicts: renew that version by a refresh, which carries all tasks "
                    "over, or set may_drop_tasks",
                )
            return
        if not directory or not _is_pushed_from(model.uri, directory):
            source = serving_directory(model.uri)
            digests = check_version(source)
            # Chosen before the check: what is pushed after it takes this place, or is later.
            version, new = choose_next_version(base)
            _check_production(input_dict, base)
            with create_directory(new) as staging:
                copy_directory(source, staging)
                accepted = _read_accepted(input_dict)
                content = {"model": model.uri, "model_id": model.id, "accepted": accepted}
                write_file(os.path.join(staging, PUSHED_FILE), json.dumps(content))
                if renewal:
                    write_file(
                        os.path.join(staging, RENEWAL),
                        json.dumps({**renewal, "accepted": accepted}),
                    )
                # The digests are the source's: they would show a damaged copy.
                write_manifest(staging, digests)
                _check_production(input_dict, base)
            directory = new
        pushed.set_string_custom_property("pushed_destination", directory)
        pushed.set_string_custom_property("pushed_version", str(version))


def _check_production(input_dict: Mapping[str, list], base: str) -> None:
    """Rejects a candidate if another model is in production than it was compared with.

    Raises:
      InputError: naming the newest version.
    """
    versions = list_version_directories(base)
    if not input_dict.get("production") or not versions:
        return
    compared = artifact_utils.get_single_instance(input_dict["production"]).uri
    newest = versions[max(versions)]
    try:
        same = read_pushed_model(newest) == compared
    except InputError:
        same = False  # another program pushed it
    if not same:
        raise InputError(
            f"{newest} was pushed meanwhile, and the candidate was compared with {compared}, so "
            "nothing is pushed; run the pipeline again."
        )


def _read_accepted(input_dict: Mapping[str, list]) -> list[str]:
    """Returns the tasks that would have blocked the push, and were accepted."""
    blessing = artifact_utils.get_single_instance(input_dict["evaluation"])
    return [name for name in blessing.get_string_custom_property(ACCEPTED).split(",") if name]


def _read_tasks(version_directory: str) -> set[str]:
    """Returns the names of the tasks that an exported model predicts.

    Raises:
      InputError: if the model does not list them.
    """
    try:
        with tf.io.gfile.GFile(os.path.join(version_directory, CARD)) as file:
            return {task["name"] for task in json.load(file)["tasks"]}
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"the model in {version_directory} does not list its tasks ({CARD} is missing or "
            "damaged); push elsewhere, or set may_drop_tasks."
        ) from error


def _is_pushed_from(model_uri: str, version_directory: str) -> bool:
    """Whether a version is a copy of a model, and still as it was pushed."""
    try:
        check_version(version_directory)
        return read_pushed_model(version_directory) == model_uri
    except InputError:
        return False
