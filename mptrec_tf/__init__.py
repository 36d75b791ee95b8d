"""MPT-Rec on TensorFlow: multi-task pre-training, and new tasks by prompt tuning.

Importing this package selects Keras 2 (`tf_keras`), which TensorFlow Recommenders, TensorFlow
Transform and TensorFlow Model Analysis are built on, and imports no TensorFlow itself.
"""

import os
import sys

__version__ = "0.3.0"

__all__ = [
    "artifacts",
    "benchmark",
    "bin",
    "data",
    "errors",
    "evaluation",
    "export",
    "inference",
    "keras",
    "kinds",
    "layers",
    "models",
    "progress",
    "serving",
    "settings",
    "storage",
    "training",
]


def _select_keras_2() -> None:
    """Makes `tf.keras` mean Keras 2, and rejects a process in which it already means Keras 3."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and not tensorflow.keras.Model.__module__.startswith("tf_keras"):
        raise ImportError(
            "mptrec_tf needs Keras 2, but tensorflow was imported with Keras 3 before it. "
            "Import mptrec_tf first, or set TF_USE_LEGACY_KERAS=1 in the environment."
        )


_select_keras_2()
