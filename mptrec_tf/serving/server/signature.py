"""Inputs and outputs of a SavedModel's signature: names, types and shapes."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of a signature.

    Attributes:
      name: str. The tensor in the graph.
      dtype: Its type.
      shape: Its dimensions, -1 where any size fits; None if its rank is not known.
    """

    name: str
    dtype: tf.DType
    shape: tuple[int, ...] | None

    @functools.cached_property
    def enum(self) -> int:
        """Its type's number in protos, cached: a DType takes ten times as long to look it up."""
        return self.dtype.as_datatype_enum

    @functools.cached_property
    def numpy(self) -> np.dtype:
        """NumPy's type for it; `object` for text."""
        return np.dtype(self.dtype.as_numpy_dtype)

    @classmethod
    def from_info(cls, info: meta_graph_pb2.TensorInfo) -> "Tensor":
        """Returns the input or output that a signature's entry describes."""
        shape = info.tensor_shape
        dims = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
        return cls(info.name, tf.as_dtype(info.dtype), dims)

    @property
    def batched(self) -> bool:
        """Whether its first dimension counts rows."""
        return bool(self.shape) and self.shape[0] == -1


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
      name: str. Its key in the SavedModel.
      inputs: By name.
      outputs: By name.
      spec_names: Inputs by their names in the spec, where these differ.
      defaults: By input that a request may leave out, its value for all rows.
    """

    name: str
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    spec_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, np.generic] = dataclasses.field(default_factory=dict)

    @property
    def batchable(self) -> bool:
        """Whether rows of several requests can run as one batch."""
        return all(t.batched for t in (*self.inputs.values(), *self.outputs.values()))
