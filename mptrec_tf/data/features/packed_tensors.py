"""The packed tensors of a kind of feature: how they are stored, built and read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from mptrec_tf.data.features.base import Feature
    from mptrec_tf.data.features.input_shape import InputShape


class PackedTensors:
    """The part of a `Feature` that knows the tensors of all features of its kind.

    Class attributes:
      packed_parts: Further packed tensors, whose names are the section's and these. A kind with
        such parts has as many values in a row as it likes: see `packed_spec`.
    """

    section: ClassVar[str]
    dtype: ClassVar[str]
    packed_parts: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def packed_spec(cls, features: Sequence["Feature"]) -> dict[str, Any]:
        """Returns how the packed tensors are stored in tf.Examples, by name.

        By default [n] values in each row. With `packed_parts` the tensor of the section and those
        of all parts but the last hold any number of values; the last one says in [n] numbers how
        many belong to each column.
        """
        import tensorflow as tf

        size = cls.columns(features)
        if not cls.packed_parts:
            return {cls.section: tf.io.FixedLenFeature([size], tf.as_dtype(cls.dtype))}
        names = cls.packed_names()
        varying = {
            name: tf.io.RaggedFeature(
                tf.as_dtype(cls.dtype) if name == cls.section else tf.float32,
                row_splits_dtype=tf.int64,
            )
            for name in names[:-1]
        }
        return varying | {names[-1]: tf.io.FixedLenFeature([size], tf.int64)}

    @classmethod
    def packed_names(cls) -> list[str]:
        """Returns the names of the packed tensors: the section's, and those of its parts."""
        return [cls.section, *(f"{cls.section}_{part}" for part in cls.packed_parts)]

    @classmethod
    def packed_bytes(cls, features: Sequence["Feature"]) -> int:
        """Returns the bytes of the packed tensors of a row; the most where rows differ."""
        import tensorflow as tf

        return cls.columns(features) * tf.as_dtype(cls.dtype).size

    @classmethod
    def packed_values(
        cls, packed: "Mapping[str, np.ndarray]", column: int, first: bool = False
    ) -> "np.ndarray":
        """Returns the values of one column of n rows, [n].

        Args:
          packed: Packed arrays by name; those of a kind with `packed_parts` that vary hold the
            values of all rows.
          column: The column.
          first: Whether to return the first value of each row alone.
        """
        import numpy as np

        values = packed[cls.section]
        if not cls.packed_parts:
            return values[:, column]
        lengths = packed[cls.packed_names()[-1]]
        cells = lengths.ravel()
        if first:
            return values[(np.cumsum(cells) - cells).reshape(lengths.shape)[:, column]]
        return values[np.repeat(np.arange(cells.size) % lengths.shape[1] == column, cells)]

    @classmethod
    def make_zeros(cls, shape: "InputShape", rows: int) -> "dict[str, tf.Tensor]":
        """Returns valid packed tensors of some rows, to build a model with."""
        import tensorflow as tf

        zeros = tf.zeros([rows, shape.columns], tf.as_dtype(cls.dtype))
        if not cls.packed_parts:
            return {cls.section: zeros}
        names = cls.packed_names()
        varying = {
            name: tf.RaggedTensor.from_tensor(
                tf.cast(zeros, cls.dtype if name == cls.section else tf.float32),
                row_splits_dtype=tf.int64,
            )
            for name in names[:-1]
        }
        return varying | {names[-1]: tf.ones([rows, shape.columns], tf.int64)}

    @classmethod
    def layer_inputs(cls, packed: "Mapping[str, tf.Tensor]") -> Any:
        """Returns what the kind's layer takes, of all packed tensors by name.

        The packed tensor [B, n]; for a kind with `packed_parts` a tuple of the values of all rows,
        one after the other, of each packed tensor that varies, and the lengths [B, n].
        """
        if not cls.packed_parts:
            return packed[cls.section]
        *varying, lengths = (packed[name] for name in cls.packed_names())
        return (*(of.flat_values for of in varying), lengths)
