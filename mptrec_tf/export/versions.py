"""Where an exported model's versions are, and what else a version holds."""

import os
import re

from mptrec_tf.errors import InputError
from mptrec_tf.file_systems import file_system, saying

CARD = "assets.extra/model_card.json"

CARD_TO_READ = "assets.extra/model_card.md"
WARMUP = "assets.extra/tf_serving_warmup_requests"  # TF Serving's own name for it


def versions(base_path: str) -> list[int]:
    """Numbers of the versions in TF Serving's base path, ascending; they fit into 64 bits.

    Raises:
      InputError: if it cannot be looked into.
    """
    files = file_system(base_path)
    with saying(f"cannot look into {base_path}"):
        if not files.isdir(base_path):
            return []
        names = [name.rstrip("/") for name in files.listdir(base_path)]
    return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{1,18}", name))


def newest_version(path: str) -> str:
    """Returns the directory of a version: `path` itself, or the newest one below a base path.

    Raises:
      InputError: if there is none.
    """
    if file_system(path).exists(os.path.join(path, "saved_model.pb")):
        return path
    found = versions(path)
    if not found:
        raise InputError(
            f"{path} holds no exported model; give a directory that mptrec-export wrote, or one "
            "of its versions."
        )
    return os.path.join(path, str(found[-1]))
