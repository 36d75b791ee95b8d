"""The one place that Keras comes from: Keras 2, the same classes that tensorflow-recommenders uses.

Use it as `from mptrec_tf.keras import keras`.
"""

import tensorflow as tf

keras = tf.keras
