"""The fingerprint that names a backbone: SHA-256 over its weights and its preprocessing graph."""

import hashlib
from collections.abc import Mapping

import numpy as np

from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform


def weights_fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """Returns SHA-256 over names, shapes, dtypes and bytes of weights, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.shape} {value.dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def backbone_fingerprint(
    weights: Mapping[str, np.ndarray], transform_dir: str, *descriptions: str
) -> str:
    """Returns SHA-256 over a backbone's weights, its preprocessing graph, and its shape.

    Args:
      weights: By name.
      transform_dir: Directory of the preprocessing graph.
      *descriptions: JSON that decides how the weights are used: configuration and features.
    """
    parts = [weights_fingerprint(weights), fingerprint_transform(transform_dir), *descriptions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
