"""Hands stages to a Dask cluster as tasks, each of which waits for what it reads.

All that a task needs is in Dask's graph: what is lost with a worker is made again on another one.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.runners.common import ENCODED_IMPULSE_VALUE
from distributed import Client, Future

from mptrec_tf.data.dask import bundles
from mptrec_tf.data.dask.stages import GROUPED, IMPULSE, SPREAD, Port, Stage


class Submission:
    """Submits the stages of a run, in their order.

    Args:
      client: The cluster.
      run: A name that no other run has.
      parts: What is grouped or spread is divided into as many.
    """

    def __init__(self, client: Client, run: str, parts: int):
        self._client = client
        self._run = run
        self._parts = parts
        self._tasks = 0
        # By buffer, what was written to it: the bundle's result, the step, and where it writes.
        self._written: dict[bytes, list[tuple[Future, str, Port]]] = collections.defaultdict(list)
        self._taken: set[bytes] = set()

    def add(self, stage: Stage) -> list[Future]:
        """Submits the bundles of a stage.

        Returns:
          What becomes the report of each bundle, serialized `MonitoringInfo`s. Nothing else refers
          to results here, so that workers forget them when they have been read.

        Raises:
          RuntimeError: if another stage has read what this one writes: Beam's order is not kept.
        """
        if late := self._taken & {port.buffer for port in stage.writes.values()}:
            raise RuntimeError(f"{stage.name} writes {late} after a stage that reads it.")
        self._taken |= {port.buffer for port in stage.reads.values()}
        self._taken |= {side.buffer for side in stage.side_inputs}
        shared = self._submit("stage", _get, stage)
        inputs = {step: self._read(shared, step, port) for step, port in stage.reads.items()}
        sides = [self._pick_all(side.buffer, 0) for side in stage.side_inputs]
        reports = []
        for number in range(max(map(len, inputs.values()), default=0)):
            given = {step: of[number] for step, of in inputs.items() if number < len(of)}
            bundle = (self._run, number, self._parts)
            done = self._submit("bundle", _run_bundle, shared, bundle, given, sides)
            for step, port in stage.writes.items():
                self._written[port.buffer].append((done, step, port))
            reports.append(self._submit("report", bundles.get_report, done))
        return reports

    def _submit(self, kind: str, function, *args: Any) -> Future:
        self._tasks += 1
        return self._client.submit(function, *args, key=f"{kind}-{self._run}-{self._tasks}")

    def _read(self, stage: Future, step: str, port: Port) -> list[Sequence[Any]]:
        """Returns the inputs of the bundles that read from a port, each a list of pieces."""
        if port.buffer == IMPULSE:
            return [[[ENCODED_IMPULSE_VALUE]]]
        written = self._written[port.buffer]
        if port.kind == SPREAD:
            return [self._pick_all(port.buffer, part) for part in range(self._parts)]
        if port.kind == GROUPED and written:
            to = written[0][-1]
            return [
                [
                    self._submit(
                        "group", bundles.group, stage, step, to, self._pick_all(port.buffer, i)
                    )
                ]
                for i in range(self._parts)
            ]
        return [[self._pick(of, 0)] for of in written]

    def _pick_all(self, buffer: bytes, part: int) -> list[Future]:
        return [self._pick(of, part) for of in self._written[buffer]]

    def _pick(self, written: tuple[Future, str, Port], part: int) -> Future:
        done, step, _ = written
        return self._submit("pick", bundles.pick, done, step, part)


def _get(stage: Stage) -> Stage:
    """Makes a stage the result of a task, which is sent to each worker once."""
    return stage


def _run_bundle(
    stage: Stage,
    name: tuple[str, int, int],
    inputs: Mapping[str, Sequence[bundles.Pieces]],
    sides: Sequence[Sequence[bundles.Pieces]],
) -> bundles.Written:
    """Runs a stage on a bundle, given as Dask hands results over: in lists and dictionaries."""
    run, number, parts = name
    given = {step: bundles.chain(pieces) for step, pieces in inputs.items()}
    bundle = bundles.Bundle(run, number, given, parts)
    return bundles.run_bundle(stage, bundle, [bundles.chain(of) for of in sides])
