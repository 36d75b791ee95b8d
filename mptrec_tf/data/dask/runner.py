"""A Beam runner for clusters of dask.distributed.

Beam's own one (in 2.74 and 2.77) runs pipelines of one output: it drops what `finish_bundle` emits,
gives every output of a step the elements of all, and runs only what the last step needs. TensorFlow
Transform and Beam's own file sinks need these.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import math
import queue
import time
import uuid
from collections.abc import Iterator, Mapping

import distributed
from apache_beam.metrics.monitoring_infos import consolidate
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2, metrics_pb2
from apache_beam.runners.dask.dask_runner import DaskOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiMetrics
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState
from apache_beam.transforms import environments

from mptrec_tf.data.dask.bundles import count_running
from mptrec_tf.data.dask.stages import make_stages
from mptrec_tf.data.dask.submission import Submission
from mptrec_tf.errors import InputError

# Seconds between two looks at the cluster while nothing ends, and how long it may have no worker.
_LOOK, _PATIENCE = 2.0, 60.0
# Parts for each thread of the cluster: what is lost with a worker, and made again, is smaller.
_PARTS_OF_THREAD = 2


class DaskRunner(PipelineRunner):
    """Runs a pipeline on Dask, given as `--runner=mptrec_tf.data.dask.runner.DaskRunner`.

    Its flags are those of Beam's own: `--dask_client_address` (without it, processes are started
    on this machine), `--dask_scheduler_file`, and `--dask_npartitions`, the parts that elements are
    divided into where they are spread or grouped (two for each thread of the cluster). Workers need
    this package, and the directories that the pipeline reads and writes.
    """

    def default_environment(self, options: PipelineOptions) -> environments.Environment:
        """Returns where steps run: in the worker's own process."""
        return environments.EmbeddedPythonEnvironment.default()

    def run_portable_pipeline(
        self, pipeline: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> "DaskResult":
        """Submits a pipeline.

        Raises:
          InputError: if the pipeline has steps that wait for timers, or there is no such cluster.
        """
        requirements = common_urns.requirements
        supported = {
            requirements.REQUIRES_SPLITTABLE_DOFN.urn,
            requirements.REQUIRES_STATEFUL_PROCESSING.urn,  # `make_stages` says which step it is
        }
        try:
            self.check_requirements(pipeline, supported)
        except ValueError as error:
            raise InputError(f"the Dask runner cannot run this pipeline: {error}.") from error
        run = uuid.uuid4().hex[:8]
        stages = make_stages(pipeline, run)
        client, parts = _connect(options)
        try:
            submission = Submission(client, run, parts)
            reports = {future: of.name for of in stages for future in submission.add(of)}
        except BaseException:
            client.close()
            raise
        return DaskResult(client, run, reports)


def _connect(options: PipelineOptions) -> tuple[distributed.Client, int]:
    """Returns a client of the cluster that the options name, and into how many parts to divide."""
    given = options.view_as(DaskOptions).get_all_options(drop_default=True, current_only=True)
    if given.pop("partition_size", None):
        raise InputError(
            "--dask_partition_size is not known to this runner; give --dask_npartitions."
        )
    parts = given.pop("npartitions", None)
    file = given.pop("scheduler_file", None)
    where = given.get("address") or file or "this machine"
    try:
        if file:  # Dask itself would wait for it without end
            with open(file) as opened:
                given["address"] = json.load(opened)["address"]
        client = distributed.Client(set_as_default=False, **given)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"there is no Dask scheduler at {where}: {error}.") from error
    threads = sum(client.nthreads().values())
    return client, parts or max(1, threads) * _PARTS_OF_THREAD


class DaskResult(PipelineResult):
    """A pipeline that was submitted.

    Args:
      client: The cluster.
      run: The run's name.
      reports: What becomes the reports of its bundles, and the names of their stages.
    """

    def __init__(
        self, client: distributed.Client, run: str, reports: Mapping[distributed.Future, str]
    ):
        super().__init__(PipelineState.RUNNING)
        self._client = client
        self._run = run
        self._reports = reports
        self._infos: dict[str, list[metrics_pb2.MonitoringInfo]] = {}

    def wait_until_finish(self, duration: float | None = None) -> str:
        """Waits until all steps have ended, and lets go of the cluster.

        After an error it waits for the bundles that run at that time, which could write files.

        Args:
          duration: Optional. The most milliseconds to wait.

        Returns:
          The state.

        Raises:
          InputError: if workers or the scheduler are lost for good.
          RuntimeError: with the text of what a step raised.
        """
        if PipelineState.is_terminal(self._state):
            return self._state
        until = math.inf if duration is None else time.monotonic() + duration / 1000
        try:
            ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
            for future in self._reports:
                future.add_done_callback(ended.put)
            for _ in self._reports:
                future = self._wait(ended, until)
                if future is None:
                    return self._state
                self._take(future)
        except BaseException:
            self._state = PipelineState.FAILED
            self._stop()
            raise
        self._state = PipelineState.DONE
        self._client.close()
        return self._state

    def cancel(self) -> str:
        """Stops the pipeline."""
        self._state = PipelineState.CANCELLED
        self._stop()
        return self._state

    def metrics(self) -> FnApiMetrics:
        """Returns the counters of the steps."""
        return FnApiMetrics(self._infos, user_metrics_only=True)

    def _wait(
        self, ended: "queue.SimpleQueue[distributed.Future]", until: float
    ) -> distributed.Future | None:
        """Returns the next bundle that has ended; None if the time is over."""
        lonely = 0.0
        while time.monotonic() < until:
            with contextlib.suppress(queue.Empty):
                return ended.get(timeout=_LOOK)
            with self._explain():
                lonely = 0.0 if self._client.nthreads() else lonely + _LOOK
            if lonely > _PATIENCE:
                raise InputError(
                    f"the Dask scheduler at {self._address} has had no worker for "
                    f"{_PATIENCE:.0f} seconds: start workers, then this program again."
                )
        return None

    def _take(self, future: distributed.Future) -> None:
        """Adds the report of a bundle.

        Raises:
          InputError: if workers or the scheduler are lost for good.
          RuntimeError: with the text of what a step raised.
        """
        stage = self._reports[future]
        with self._explain(stage):
            infos = [metrics_pb2.MonitoringInfo.FromString(info) for info in future.result()]
        self._infos[stage] = list(consolidate([*self._infos.get(stage, ()), *infos]))

    @property
    def _address(self) -> str:
        return self._client.scheduler.address if self._client.scheduler else "its address"

    @contextlib.contextmanager
    def _explain(self, stage: str = "") -> Iterator[None]:
        """Raises what says that workers or the scheduler are lost as a sentence."""
        try:
            yield
        except distributed.KilledWorker as error:
            raise InputError(
                f"Dask gave up: each of {error.allowed_failures + 1} workers ended while it ran "
                f"{stage}; the workers' logs say why, such as too little memory."
            ) from error
        except (asyncio.CancelledError, concurrent.futures.CancelledError, OSError) as error:
            raise InputError(
                f"the Dask scheduler at {self._address} was lost; start it, and then this program "
                "again."
            ) from error

    def _stop(self) -> None:
        """Takes back what was submitted, and waits for what has begun."""
        with contextlib.suppress(OSError, RuntimeError, asyncio.CancelledError):
            self._client.cancel(list(self._reports))
            running = True
            while running:
                time.sleep(_LOOK / 4)  # workers hear of it a moment later
                counts = self._client.run(count_running, self._run, on_error="ignore")
                running = any(counts.values())
        self._client.close()
