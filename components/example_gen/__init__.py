"""Example generation: raw rows of any data set as labelled tf.Examples."""

__all__ = ["component", "executor", "source"]
