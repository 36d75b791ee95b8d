"""Where an exported model's versions are, and what else a version holds."""

import re

import tensorflow as tf

CARD = "assets.extra/model_card.json"

CARD_TO_READ = "assets.extra/model_card.md"
WARMUP = "assets.extra/tf_serving_warmup_requests"  # TF Serving's own name for it


def versions(base_path: str) -> list[int]:
    """Numbers of the versions in TF Serving's base path, ascending; they fit into 64 bits."""
    if not tf.io.gfile.isdir(base_path):
        return []
    names = (name.rstrip("/") for name in tf.io.gfile.listdir(base_path))
    return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{1,18}", name))
