"""The processes that train together, as TF_CONFIG names them; imports no TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from mptrec_tf.errors import InputError

MIRRORED, MULTI_WORKER, PARAMETER_SERVER = "mirrored", "multi_worker", "parameter_server"
STRATEGIES = (MIRRORED, MULTI_WORKER, PARAMETER_SERVER)
# Those that have several processes, named by TF_CONFIG.
OF_PROCESSES = (MULTI_WORKER, PARAMETER_SERVER)
VARIABLE = "TF_CONFIG"
CHIEF, WORKER, SERVER = "chief", "worker", "ps"
_TASK = '"task": {"type": "worker", "index": 0}}'
_EXAMPLES = {
    MULTI_WORKER: '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, ' + _TASK,
    PARAMETER_SERVER: '{"cluster": {"chief": ["10.0.0.1:2222"], "worker": ["10.0.0.2:2222", '
    '"10.0.0.3:2222"], "ps": ["10.0.0.4:2222"]}, ' + _TASK,
}


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


@dataclasses.dataclass(frozen=True)
class ServerCluster:
    """A coordinator, the workers that it gives work to, and the parameter servers.

    Attributes:
      chief: host:port of the coordinator.
      workers: host:port of each worker.
      servers: host:port of each parameter server.
      role: str. What this process is: "chief", "worker" or "ps".
      index: int. Which of these.
    """

    chief: str
    workers: tuple[str, ...]
    servers: tuple[str, ...]
    role: str
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the coordinator, which writes the results."""
        return self.role == CHIEF

    def to_spec(self) -> dict[str, list[str]]:
        """Returns the addresses by role, as tf.train.ClusterSpec takes them."""
        return {CHIEF: [self.chief], WORKER: [*self.workers], SERVER: [*self.servers]}


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG, as TFX, Kubeflow's training operator and Vertex AI set it.

    Raises:
      InputError: if it is missing or is no such description.

    Example:
      >>> read_cluster({"TF_CONFIG": '''{"cluster": {"chief": ["a:1"], "worker": ["b:1"]},
      ...                                "task": {"type": "worker", "index": 0}}'''})
      Cluster(addresses=('a:1', 'b:1'), index=1)
    """
    roles, role, index = _read_roles(environment, MULTI_WORKER, (CHIEF, WORKER))
    chiefs = roles.get(CHIEF, ())
    addresses = (*chiefs, *roles.get(WORKER, ()))
    return Cluster(addresses, index + (len(chiefs) if role == WORKER else 0))


def read_server_cluster(environment: Mapping[str, str] = os.environ) -> ServerCluster:
    """Reads a TF_CONFIG with one chief (the coordinator), workers and parameter servers.

    Raises:
      InputError: if it is missing, is no such description, or lacks one of the three.
    """
    of = (CHIEF, WORKER, SERVER)
    roles, role, index = _read_roles(environment, PARAMETER_SERVER, of)
    if len(roles.get(CHIEF, ())) != 1 or not roles.get(WORKER) or not roles.get(SERVER):
        raise InputError(
            f"--strategy={PARAMETER_SERVER} needs one {CHIEF}, which coordinates, and at least "
            f"one {WORKER} and one {SERVER}; {VARIABLE} has "
            f"{', '.join(f'{len(roles.get(name, ()))} {name}' for name in of)}."
        )
    return ServerCluster(roles[CHIEF][0], roles[WORKER], roles[SERVER], role, index)


def check_config(strategy: str, environment: Mapping[str, str] = os.environ) -> None:
    """Rejects a TF_CONFIG that a strategy of several processes cannot use.

    Raises:
      InputError: saying what is missing or wrong.
    """
    (read_server_cluster if strategy == PARAMETER_SERVER else read_cluster)(environment)


def _read_roles(
    environment: Mapping[str, str], strategy: str, expected: tuple[str, ...]
) -> tuple[dict[str, tuple[str, ...]], str, int]:
    """Returns the addresses by role, and this process's role and index."""
    text, example = environment.get(VARIABLE, ""), _EXAMPLES[strategy]
    if not text:
        raise InputError(
            f"--strategy={strategy} needs the environment variable {VARIABLE}, which names the "
            f"processes that train together, such as {example}."
        )
    try:
        config = json.loads(text)
        roles = {role: _check_addresses(of) for role, of in config["cluster"].items()}
        role, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{VARIABLE} should be as {example}. Received: {text} ({error!r}).") from (
            error
        )
    others = sorted({*roles, role} - {*expected})
    if others:
        *but_last, last = (f"{name}s" if name == WORKER else f"a {name}" for name in expected)
        raise InputError(
            f"{VARIABLE} names a {others[0]!r}; --strategy={strategy} has {', '.join(but_last)} "
            f"and {last} only: leave it out of the cluster."
        )
    if not 0 <= index < len(roles.get(role, ())):
        raise InputError(
            f"{VARIABLE} says that this process is {role} {index}, and its cluster has "
            f"{len(roles.get(role, ()))} of these, counted from 0."
        )
    return roles, role, index


def _check_addresses(addresses: Any) -> tuple[str, ...]:
    if not isinstance(addresses, list) or not all(isinstance(of, str) for of in addresses):
        raise TypeError(f"no list of addresses: {addresses!r}")
    return tuple(addresses)
