"""Registries of what users extend: models, heads, features, tasks and data sets.

A kind is one module and one line in a registry; everything else looks it up by its name. One call
registers a custom kind:

    from mptrec_tf.models.heads.registry import HEADS
    HEADS.register("mine", HeadKind(MineConfig, MineHead))

Modules that do so are named in the environment variable MPTREC_PLUGINS (comma-separated), or by a
package's entry point in the group `mptrec_tf.kinds`. Every process imports them before its first
look-up, so that programs, Beam workers and TFX components know the same kinds.
"""

import functools
import importlib
import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Generic, TypeVar

from mptrec_tf.errors import InputError, did_you_mean

PLUGINS = "MPTREC_PLUGINS"
ENTRY_POINTS = "mptrec_tf.kinds"
Kind = TypeVar("Kind")


class Registry(Generic[Kind]):
    """Kinds by name, in the order in which they were added.

    Args:
      what: What they are called in messages: "head".
      built_in: The project's own kinds by name; "module:attribute" for a kind that is imported
        when it is needed.

    Example:
      >>> heads = Registry("head", {"linear": "my_package.heads:LINEAR"})
      >>> heads.register("mine", MINE)
      >>> heads.names()
      ('linear', 'mine')
    """

    def __init__(self, what: str, built_in: Mapping[str, Kind | str]):
        self._what = what
        self._built_in = dict(built_in)
        self._kinds: dict[str, Kind] = {}

    def register(self, name: str, kind: Kind) -> None:
        """Adds a kind.

        Raises:
          ValueError: if another kind has this name.
        """
        if name in self._built_in or self._kinds.get(name, kind) is not kind:
            raise ValueError(f"there is a {self._what} {name!r} already; give it another name.")
        self._kinds[name] = kind

    def unregister(self, name: str) -> None:
        """Removes a kind that `register` added."""
        if name not in self._built_in:
            self._kinds.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """Returns the names of all kinds, the project's own first."""
        _load_plugins()
        return tuple(dict.fromkeys((*self._built_in, *self._kinds)))

    def get(self, name: str) -> Kind:
        """Returns a kind.

        Raises:
          InputError: for an unknown name.
        """
        names = self.names()
        if name not in names:
            raise InputError(
                f"unknown {self._what} {name!r}; there are {', '.join(names)}"
                f"{did_you_mean(name, names)}"
            )
        if name not in self._kinds:
            self._kinds[name] = load(self._built_in[name])
        return self._kinds[name]

    def all(self) -> dict[str, Kind]:
        """Returns all kinds by name."""
        return {name: self.get(name) for name in self.names()}


def load(place: Any) -> Any:
    """Imports what "module:attribute" names; returns anything else unchanged."""
    if not isinstance(place, str):
        return place
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


@functools.cache
def _load_plugins() -> None:
    """Imports the modules that register custom kinds.

    Raises:
      InputError: for one that cannot be imported.
    """
    for module in filter(None, os.environ.get(PLUGINS, "").split(",")):
        try:
            importlib.import_module(module.strip())
        except ImportError as error:
            raise InputError(
                f"{PLUGINS} names {module.strip()!r}, which cannot be imported: {error}."
            ) from error
    for point in metadata.entry_points(group=ENTRY_POINTS):
        point.load()
