"""Pipelines: from data to a pushed model."""

import mptrec_tf  # noqa: F401  (before TFX, which imports TensorFlow: it selects Keras 2)

__all__ = [
    "add_task",
    "compiling",
    "config",
    "defaults",
    "flags",
    "kubeflow",
    "lineage",
    "local",
    "local_pipelines",
    "local_runner",
    "metadata",
    "pretrain",
    "production",
    "results",
    "shared_steps",
]
