"""The kinds of heads that a new task can have, by name; all have one interface."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mptrec_tf.models.configurations import (
    AnyConfig,
    HeadConfig,
    ResidualConfig,
    head_config,
)
from mptrec_tf.models.encoded import Layout
from mptrec_tf.models.head_names import KINDS
from mptrec_tf.models.heads import PromptHead
from mptrec_tf.models.residual import ResidualHead

__all__ = ["KINDS", "AnyConfig", "AnyHead", "from_dict", "head_config", "make_head", "to_dict"]

AnyHead = PromptHead | ResidualHead

_TYPES = {"prompt": HeadConfig, "residual": ResidualConfig}


def make_head(config: AnyConfig, layout: Layout, name: str) -> AnyHead:
    """Makes a head with fresh weights that fits a model."""
    if isinstance(config, ResidualConfig):
        return ResidualHead(config, layout.input_width, layout.width, layout.tasks, name=name)
    return PromptHead(config, layout.input_width, layout.width, name=name)


def to_dict(config: AnyConfig) -> dict[str, Any]:
    """The shape of a head as plain data, which `from_dict` reads."""
    [kind] = (name for name, type_ in _TYPES.items() if type_ is type(config))
    return {"type": kind, **dataclasses.asdict(config)}


def from_dict(raw: Mapping[str, Any]) -> AnyConfig:
    """Reads what `to_dict` and JSON made of a shape.

    Raises:
      KeyError, TypeError: if it is none.
    """
    # Packages that were written when there was one type do not name it.
    type_ = _TYPES[raw.get("type", "prompt")]
    return type_(**{name: _tuples(value) for name, value in raw.items() if name != "type"})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
