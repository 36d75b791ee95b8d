"""Experts of which each task reads a part: its subnet.

Sun et al., *Learning Sparse Sharing Architectures for Multiple Tasks*, AAAI 2020,
https://arxiv.org/abs/1911.05034.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank


@keras.utils.register_keras_serializable("mptrec_tf")
class MaskedExpertBank(ExpertBank):
    """Subnets of one expert, or of one copy of it for each task.

        h_t = relu(... relu(x (W_1 * M_t1) + b_1) ...)

    A task reads and trains the weights of its mask alone. Biases have no mask.

    Args:
      masks: int. Number of tasks, T.
      units: Sequence of ints. Width of each layer; the last is H.
      separate: bool. Whether each task has weights of its own. Defaults to False.
      **kwargs: As in `ExpertBank`.

    Example:
      >>> experts = MaskedExpertBank(masks=2, units=(256, 128))
      >>> experts(tf.zeros([64, 10])).shape
      TensorShape([2, 64, 128])
    """

    def __init__(self, masks: int, units: Sequence[int], *args, separate: bool = False, **kwargs):
        super().__init__(masks if separate else 1, units, *args, **kwargs)
        self.mask_count = masks
        self.separate = separate

    def build(self, input_shape) -> None:
        """Creates kernels [1 or T, in, out], biases [1 or T, 1, out] and masks [T, in, out]."""
        super().build(input_shape)
        self.masks = [
            self.add_weight(
                f"mask_{i}",
                (self.mask_count, *kernel.shape[1:]),
                initializer="ones",
                trainable=False,
            )
            for i, kernel in enumerate(self.kernels)
        ]

    @property
    def fixed_weights(self) -> list[tf.Variable]:
        """The masks, which are stored with the trained weights."""
        return self.masks

    def _effective_kernels(self) -> list[tf.Tensor]:
        return [kernel * mask for kernel, mask in zip(self.kernels, self.masks, strict=True)]

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        config = {k: v for k, v in super().get_config().items() if k != "count"}
        return config | {"masks": self.mask_count, "separate": self.separate}


def prune_smallest(
    kernels: Sequence[np.ndarray], masks: Sequence[np.ndarray], share: float
) -> list[np.ndarray]:
    """Returns the masks [T, in, out] of layers without each task's smallest weights.

    Those of all layers are compared together, by their magnitude. At least one is left.

    Args:
      kernels: [T, in, out] of each layer.
      masks: [T, in, out] of each layer, of 0 and 1.
      share: The share of a task's weights left to remove, rounded down.
    """
    pruned = [mask.copy() for mask in masks]
    for task in range(len(masks[0])):
        left = np.concatenate([mask[task].ravel() for mask in masks])
        sizes = np.concatenate([np.abs(kernel[task]).ravel() for kernel in kernels])
        places = np.flatnonzero(left)
        smallest = places[np.argsort(sizes[places], kind="stable")]
        left[smallest[: min(int(share * len(places)), len(places) - 1)]] = 0.0
        ends = np.cumsum([mask[task].size for mask in masks])[:-1]
        for mask, part in zip(pruned, np.split(left, ends), strict=True):
            mask[task] = part.reshape(mask[task].shape)
    return pruned
