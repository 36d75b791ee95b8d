"""Adam that touches only the rows of a table that a step has a gradient of.

Keras's Adam moves every row in every step, also those that the batch does not read: their means of
past gradients fade, and go on moving them. On a table of 10^9 rows that is a pass over all of it,
and over both means, for a batch that reads thousands of rows. Here a row's means wait until the
row is read again, as in TensorFlow Addons' LazyAdam.
"""

import tensorflow as tf

from mptrec_tf.keras import keras


class LazyAdam(keras.optimizers.Adam):
    """Adam whose sparse gradients update the rows that they name, and no others.

    A dense gradient is Keras's own. The arguments are those of `keras.optimizers.Adam`.

    Example:
      >>> optimizer = LazyAdam(0.001)
      >>> table = tf.Variable([[1.0], [2.0]])
      >>> gradient = tf.IndexedSlices(tf.constant([[3.0]]), tf.constant([1]), (2, 1))
      >>> _ = optimizer.apply_gradients([(gradient, table)])
      >>> [round(row, 3) for [row] in table.numpy().tolist()]
      [1.0, 1.999]
    """

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Updates a variable; the rows of a sparse gradient are each named once."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        mean, square = self._momentums[place], self._velocities[place]
        step = tf.cast(self.iterations + 1, variable.dtype)
        correct = tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        rate = tf.cast(self.learning_rate, variable.dtype) * correct
        rows, values = gradient.indices, gradient.values
        means = self.beta_1 * tf.gather(mean, rows) + (1 - self.beta_1) * values
        squares = self.beta_2 * tf.gather(square, rows) + (1 - self.beta_2) * tf.square(values)
        mean.scatter_update(tf.IndexedSlices(means, rows))
        square.scatter_update(tf.IndexedSlices(squares, rows))
        change = rate * means / (tf.sqrt(squares) + self.epsilon)
        variable.scatter_sub(tf.IndexedSlices(change, rows))
