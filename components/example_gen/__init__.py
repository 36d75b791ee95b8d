"""Example generation: raw rows of any data set as labelled tf.Examples."""
