"""Pipelines: from data to a pushed model."""

import mptrec_tf  # noqa: F401  (before TFX, which imports TensorFlow: it selects Keras 2)
