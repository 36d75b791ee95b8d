"""The metrics of a task in TFX's Evaluator, as plain data."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class EvaluatorMetric:
    """A metric of TensorFlow Model Analysis.

    Attributes:
      class_name: str.
      module: str. The class's module; empty for the library's own classes.
      config: The constructor's arguments.
    """

    class_name: str
    module: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
