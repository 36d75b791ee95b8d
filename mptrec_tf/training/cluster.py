"""The processes that train together, as TF_CONFIG names them; imports no TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from mptrec_tf.errors import InputError

MIRRORED, MULTI_WORKER = "mirrored", "multi_worker"
STRATEGIES = (MIRRORED, MULTI_WORKER)
VARIABLE = "TF_CONFIG"
_CHIEF, _WORKER = "chief", "worker"
_EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which of them this one is.

    Attributes:
      addresses: host:port of each worker, the chief first.
      index: int. This process's place among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes the results."""
        return self.index == 0


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG, as TFX, Kubeflow's training operator and Vertex AI set it.

    Raises:
      InputError: if it is missing or is no such description.

    Example:
      >>> read_cluster({"TF_CONFIG": '''{"cluster": {"chief": ["a:1"], "worker": ["b:1"]},
      ...                                "task": {"type": "worker", "index": 0}}'''})
      Cluster(addresses=('a:1', 'b:1'), index=1)
    """
    text = environment.get(VARIABLE, "")
    if not text:
        raise InputError(
            f"--strategy={MULTI_WORKER} needs the environment variable {VARIABLE}, which names the "
            f"processes that train together, such as {_EXAMPLE}."
        )
    try:
        config = json.loads(text)
        roles = {role: _check_addresses(of) for role, of in config["cluster"].items()}
        role, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{VARIABLE} should be as {_EXAMPLE}. Received: {text} ({error!r})."
        ) from error
    others = sorted({*roles, role} - {_CHIEF, _WORKER})
    if others:
        raise InputError(
            f"{VARIABLE} names a {others[0]!r}; --strategy={MULTI_WORKER} has a {_CHIEF} and "
            f"{_WORKER}s only: leave it out of the cluster."
        )
    if not 0 <= index < len(roles.get(role, ())):
        raise InputError(
            f"{VARIABLE} says that this process is {role} {index}, and its cluster has "
            f"{len(roles.get(role, ()))} of these, counted from 0."
        )
    chiefs = roles.get(_CHIEF, ())
    addresses = (*chiefs, *roles.get(_WORKER, ()))
    return Cluster(addresses, index + (len(chiefs) if role == _WORKER else 0))


def _check_addresses(addresses: Any) -> tuple[str, ...]:
    if not isinstance(addresses, list) or not all(isinstance(of, str) for of in addresses):
        raise TypeError(f"no list of addresses: {addresses!r}")
    return tuple(addresses)
