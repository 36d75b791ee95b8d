"""TFX components: what pipelines need beside TFX's own, each in a folder of its own."""

import mptrec_tf  # noqa: F401  (before TFX, which imports TensorFlow: it selects Keras 2)
