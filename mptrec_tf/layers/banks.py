"""Banks of networks of one shape, computed together: experts and towers."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras


def dropout(x: tf.Tensor, rate: float, generator: tf.random.Generator) -> tf.Tensor:
    """Applies dropout. Its random state is a variable, so a resumed run drops the same units."""
    return tf.nn.experimental.stateless_dropout(x, rate, generator.make_seeds(1)[:, 0])


# Kernels and biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
FAN_IN_UNIFORM = "fan_in_uniform"


def make_initializer(name: str) -> keras.initializers.Initializer:
    """Returns a kernel's initialiser: a Keras one by name, or `FAN_IN_UNIFORM`."""
    if name == FAN_IN_UNIFORM:
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return keras.initializers.get(name)


def make_bank_initializer(name: str):
    """Returns an initialiser of [count, in, out] kernels, one by one like `count` Dense layers."""
    single = make_initializer(name)

    def initialize(shape, dtype=None, **kwargs):
        count, *one = shape
        # A Keras initialiser returns the same values on every call, so each kernel needs its own.
        initializers = [type(single).from_config(single.get_config()) for _ in range(count)]
        return tf.stack([one_kernel(one, dtype=dtype) for one_kernel in initializers])

    return initialize


class _Bank(keras.layers.Layer):
    """Kernels, biases, dropout and L2 of `ExpertBank` and `TowerBank`."""

    def __init__(
        self,
        count: int,
        units: Sequence[int],
        dropout: float = 0.0,
        l2: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if count < 1 or not units or min(units) < 1:
            raise ValueError(
                f"count and units should be positive. Received: count={count}, units={units}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout should be in [0, 1). Received: {dropout}.")
        self.count = count
        self.units = tuple(units)
        self.dropout = dropout
        self.l2 = l2
        self.kernel_initializer = kernel_initializer

    def _add_products(self, width: int, units: Sequence[int]) -> None:
        self.kernels, self.biases = [], []
        for i, out in enumerate(units):
            self._add_product(self.count, width, out, str(i))
            width = out
        if self.dropout:
            self.generator = tf.random.Generator.from_seed(
                int(keras.backend.random_uniform([], 0, 2**31 - 1, dtype="int32"))
            )

    def _add_product(self, count: int, width: int, out: int, name: str) -> None:
        self.kernels.append(
            self.add_weight(
                f"kernel_{name}",
                (count, width, out),
                initializer=make_bank_initializer(self.kernel_initializer),
            )
        )
        biases = keras.initializers.Zeros()
        if self.kernel_initializer == FAN_IN_UNIFORM:
            biases = keras.initializers.RandomUniform(-(width**-0.5), width**-0.5)
        self.biases.append(self.add_weight(f"bias_{name}", (count, 1, out), initializer=biases))

    def _add_l2(self) -> None:
        if self.l2 and self.trainable:
            self.add_loss(self.l2 * tf.add_n([tf.nn.l2_loss(kernel) for kernel in self.kernels]))

    def _activate(self, x: tf.Tensor, training: bool | None) -> tf.Tensor:
        x = tf.nn.relu(x)
        return dropout(x, self.dropout, self.generator) if self.dropout and training else x

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "count": self.count,
            "units": self.units,
            "dropout": self.dropout,
            "l2": self.l2,
            "kernel_initializer": self.kernel_initializer,
        }


@keras.utils.register_keras_serializable("mptrec_tf")
class ExpertBank(_Bank):
    """Experts, all on the same input (or each on its own).

        h_e = relu(... relu(x W_e1 + b_e1) ...)

    In training the first layer is one [D, count * units] product; the later ones are one batched
    product each.

    Args:
      count: int. Number of experts, E.
      units: Sequence of ints. Width of each layer; the last is H, the representations' width.
      dropout: float. After every layer, in training. Defaults to 0.
      l2: float. Weight of `l2 / 2 * ||kernels||^2` in the layer's losses. Defaults to 0.
      kernel_initializer: str. A Keras initialiser's name, or `FAN_IN_UNIFORM`. Defaults to
        glorot_uniform.

    Example:
      >>> experts = ExpertBank(count=3, units=(256, 128))
      >>> experts(tf.zeros([64, 10])).shape
      TensorShape([3, 64, 128])
    """

    def build(self, input_shape) -> None:
        """Creates kernels [E, in, out] and biases [E, 1, out]."""
        self._add_products(input_shape[-1], self.units)
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns representations [E, B, H] of x [B, D], or of [E, B, D], one input per expert."""
        self._add_l2()
        first, *later = self._effective_kernels()
        if x.shape.rank == 3:
            h = x @ first
        elif not training:
            # The same bits without a copy of the kernels and one of the products.
            h = x[tf.newaxis] @ first
        else:
            count, width, units = first.shape
            together = tf.reshape(tf.transpose(first, [1, 0, 2]), [width, count * units])
            h = tf.transpose(tf.reshape(x @ together, [-1, count, units]), [1, 0, 2])
        h = self._activate(h + self.biases[0], training)
        for kernel, bias in zip(later, self.biases[1:], strict=True):
            h = self._activate(h @ kernel + bias, training)
        return h

    def _effective_kernels(self) -> list[tf.Tensor]:
        """Returns the kernels [E, in, out] of the products."""
        return self.kernels


@keras.utils.register_keras_serializable("mptrec_tf")
class TowerBank(_Bank):
    """Towers, each on its own task's input, each ending in one logit or in several.

    Towers that end in the same number of logits share their last product.

    Args:
      count: int. Number of towers, T.
      units: Sequence of ints. Width of the hidden layers.
      dropout: float. After every hidden layer, in training. Defaults to 0.
      l2: float. Weight of `l2 / 2 * ||kernels||^2` in the layer's losses. Defaults to 0.
      kernel_initializer: str. A Keras initialiser's name, or `FAN_IN_UNIFORM`. Defaults to
        glorot_uniform.
      input_dropout: bool. Whether to drop units of the input as well. Defaults to False.
      logits: Sequence of ints. How many logits each tower ends in. Defaults to one each.

    Example:
      >>> towers = TowerBank(count=2, units=(64, 32))
      >>> towers(tf.zeros([2, 64, 128])).shape
      TensorShape([2, 64])
      >>> TowerBank(count=2, units=(64, 32), logits=(1, 5))(tf.zeros([2, 64, 128])).shape
      TensorShape([6, 64])
    """

    def __init__(self, *args, input_dropout: bool = False, logits: Sequence[int] = (), **kwargs):
        super().__init__(*args, **kwargs)
        self.input_dropout = input_dropout
        self.logits = tuple(logits) or (1,) * self.count
        if len(self.logits) != self.count or min(self.logits) < 1:
            raise ValueError(
                f"logits should be a positive number for each of {self.count} towers. "
                f"Received: {self.logits}."
            )
        # Towers by their number of logits, and the place of each logit in the products' results.
        self._ends = tuple(
            (size, tuple(t for t, other in enumerate(self.logits) if other == size))
            for size in dict.fromkeys(self.logits)
        )
        places, first = {}, 0
        for size, towers in self._ends:
            for tower in towers:
                places[tower] = range(first, first + size)
                first += size
        self._places = tuple(place for tower in sorted(places) for place in places[tower])

    def build(self, input_shape) -> None:
        """Creates kernels [T, in, out] and biases [T, 1, out]."""
        if len(self._ends) == 1:
            self._add_products(input_shape[-1], (*self.units, self.logits[0]))
        else:
            self._add_products(input_shape[-1], self.units)
            for size, towers in self._ends:  # "kernel_2_logits_5"
                name = f"{len(self.units)}_logits_{size}"
                self._add_product(len(towers), self.units[-1], size, name)
        super().build(input_shape)

    def call(self, fused: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the logits [T, B] of fused representations [T, B, H]."""
        self._add_l2()
        h = fused
        if self.input_dropout and self.dropout and training:
            h = dropout(h, self.dropout, self.generator)
        hidden = len(self.units)
        for kernel, bias in zip(self.kernels[:hidden], self.biases[:hidden], strict=True):
            h = self._activate(h @ kernel + bias, training)
        if len(self._ends) == 1:
            return logits_to_rows(h @ self.kernels[-1] + self.biases[-1])
        parts = [
            logits_to_rows(tf.gather(h, towers) @ kernel + bias)
            for (_, towers), kernel, bias in zip(self._ends, *self._last, strict=True)
        ]
        return tf.gather(tf.concat(parts, axis=0), self._places)

    @property
    def _last(self) -> tuple[list[tf.Variable], list[tf.Variable]]:
        """The kernels and the biases of the last layer."""
        return self.kernels[len(self.units) :], self.biases[len(self.units) :]

    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Changes the last layer so that each logit becomes `scale * logit + shift`.

        Args:
          scale: [L], one for each logit, the towers' in their order.
          shift: [L].
        """
        order = np.argsort(self._places)  # of the products' results
        scale, shift = (np.asarray(v, np.float32)[order] for v in (scale, shift))
        first = 0
        for kernel, bias in zip(*self._last, strict=True):
            towers, _, size = bias.shape
            here = slice(first, first + towers * size)
            by = tf.reshape(tf.constant(scale[here]), (towers, 1, size))
            kernel.assign(by * kernel)
            bias.assign(by * bias + tf.reshape(tf.constant(shift[here]), (towers, 1, size)))
            first += towers * size

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        several = {} if set(self.logits) == {1} else {"logits": self.logits}
        return super().get_config() | {"input_dropout": self.input_dropout} | several


def logits_to_rows(logits: tf.Tensor) -> tf.Tensor:
    """Returns logits [T, B, n] as [T * n, B]."""
    count, _, size = logits.shape
    if size == 1:
        return tf.squeeze(logits, axis=-1)
    return tf.reshape(tf.transpose(logits, [0, 2, 1]), [count * size, tf.shape(logits)[1]])
