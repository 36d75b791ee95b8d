"""What holds where a pipeline is not told; imports neither TensorFlow nor TFX, as flags need it."""

import dataclasses

from mptrec_tf.training.configurations import TrainingConfig

# The data set.
DATASET = "synthetic"

# How pre-training is trained: for fewer epochs than by itself.
STAGE_1 = dataclasses.replace(TrainingConfig(), epochs=20)

# The TF Serving that a candidate is checked with: the image that serves, as saved_models/ pins it.
TF_SERVING_TAG = "2.21.0"
