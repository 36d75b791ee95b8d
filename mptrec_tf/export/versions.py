"""Where an exported model's versions are, and where a version says what it is made of."""

import re

import tensorflow as tf

CARD = "assets.extra/mptrec.json"


def versions(base_path: str) -> list[int]:
    """Numbers of the versions in TF Serving's base path, ascending."""
    if not tf.io.gfile.isdir(base_path):
        return []
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    return sorted(int(name) for name in names if re.fullmatch(r"[0-9]+", name))
