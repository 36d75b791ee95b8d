"""Defaults of the pipelines; imports neither TensorFlow nor TFX, as flags need them."""

import dataclasses

from mptrec_tf.training.configurations import TrainingConfig

# The data set where flags name none.
DATASET = "synthetic_logs"

# Pre-training: fewer epochs than `mptrec-pretrain` has by default.
STAGE_1 = dataclasses.replace(TrainingConfig(), epochs=20)

# The TF Serving that a candidate is checked with: the image that serves, as saved_models/ pins it.
TF_SERVING_TAG = "2.21.0"
