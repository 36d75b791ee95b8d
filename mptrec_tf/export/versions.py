"""The versions of an exported model: their directories, and the names of files in them."""

import functools
import logging
import os
import re

from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import explain_failure, get_file_system

CARD = "assets.extra/model_card.json"
CARD_TO_READ = "assets.extra/model_card.md"
MANIFEST = "assets.extra/manifest.json"  # see `integrity`
SIGNATURE = "assets.extra/manifest.sig"
WARMUP = "assets.extra/tf_serving_warmup_requests"  # TF Serving's own name for it

_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")
_LARGEST = 2**63 - 1  # TF Serving's numbers have 64 bits

_log = logging.getLogger("mptrec-versions")
_log.setLevel(logging.WARNING)  # programs silence libraries; this is for their users


def list_version_directories(base_path: str) -> dict[int, str]:
    """Returns the directories of the versions in TF Serving's base path, by number, ascending.

    A name may have leading zeros. If several names are the same number (1 and 001), the last in
    their order is used, as in TF Serving: the one with the fewest zeros.

    Raises:
      InputError: if the path cannot be listed.
    """
    files = get_file_system(base_path)
    with explain_failure(f"cannot look into {base_path}"):
        if not files.isdir(base_path):
            return {}
        names = sorted({name.rstrip("/") for name in files.listdir(base_path)})
    by_number: dict[int, str] = {}
    for name in names:
        if not re.fullmatch(r"[0-9]+", name) or int(name) > _LARGEST:
            continue
        if int(name) in by_number:
            _warn_twice(base_path, by_number[int(name)], name)
        by_number[int(name)] = name
    return {number: os.path.join(base_path, by_number[number]) for number in sorted(by_number)}


@functools.cache  # warns once, as servers poll every second
def _warn_twice(base_path: str, ignored: str, used: str) -> None:
    _log.warning(
        "%s: %s and %s are the same version; %s is used, as in TF Serving.",
        base_path,
        ignored,
        used,
        used,
    )


def list_versions(base_path: str) -> list[int]:
    """Returns the numbers of the versions in TF Serving's base path, ascending, below 2^63.

    Raises:
      InputError: if the path cannot be listed.
    """
    return list(list_version_directories(base_path))


def find_newest_version(path: str) -> str:
    """Returns the directory of a version: `path` itself, or the newest one below a base path.

    Raises:
      InputError: if there is none.
    """
    if is_version(path):
        return path
    directories = list_version_directories(path)
    if not directories:
        raise InputError(
            f"{path} holds no exported model; give a directory that mptrec-export wrote, or one "
            "of its versions."
        )
    return directories[max(directories)]


def choose_next_version(base_path: str) -> tuple[int, str]:
    """Returns the number and the directory of the next version to write.

    Raises:
      InputError: if there is no larger number.
    """
    number = max(list_versions(base_path), default=0) + 1
    if number > _LARGEST:
        raise InputError(
            f"{base_path} holds version {number - 1}, and there is no greater number; give another "
            "directory."
        )
    return number, os.path.join(base_path.rstrip("/"), str(number))


def is_version(path: str) -> bool:
    """Whether a directory holds a SavedModel, as a version does and a base path does not.

    A manifest is enough: it lists the graph, if that is missing.
    """
    names = (*_GRAPHS, MANIFEST)
    return any(get_file_system(path).exists(os.path.join(path, name)) for name in names)


def check_base_path(path: str) -> None:
    """Rejects a version's directory where a base path is expected.

    Raises:
      InputError: naming the base path to give instead.
    """
    if not is_version(path) or list_versions(path):
        return
    # The parent of "." can only be derived from its absolute path.
    full = path.rstrip("/") if "://" in path else os.path.normpath(path)
    if os.path.basename(full) in (".", ".."):
        full = os.path.abspath(full)
    parent, name = os.path.split(full)
    if re.fullmatch(r"[0-9]+", name):
        raise InputError(
            f"{path} is a version of a model, not its base path; give the directory that holds "
            f"it: {parent or '.'}."
        )
    raise InputError(
        f"{path} holds a SavedModel itself, and a base path holds versions with numbers as names; "
        f"move the files to {os.path.join(full, '1')}, say."
    )
