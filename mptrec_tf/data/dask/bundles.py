"""What Dask's workers do: run a stage on a bundle, divide what it wrote, and group it by key.

Elements are encoded by their coders, so that what goes from one worker to another is bytes.
"""

import collections
import contextlib
import dataclasses
import random
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence

from apache_beam.coders.coder_impl import create_InputStream, create_OutputStream
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.options.value_provider import RuntimeValueProvider
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_provision_api_pb2,
    beam_runner_api_pb2,
)
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.runners.portability.fn_api_runner import execution
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.runners.portability.fn_api_runner.worker_handlers import WorkerHandlerManager

from mptrec_tf.data.dask.stages import GROUPED, SPREAD, Port, Stage

# Encoded elements, any number of them in each piece.
Pieces = list[bytes]

# How many bundles this process runs now, by run.
_running: collections.Counter[str] = collections.Counter()
_running_lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The elements that a stage runs on at once.

    Attributes:
      run: str. The run that they belong to.
      number: int. Which bundle of its stage it is.
      inputs: By step that reads, its elements.
      parts: int. The parts that what is grouped or spread afterwards is divided into.
    """

    run: str
    number: int
    inputs: Mapping[str, Pieces]
    parts: int


@dataclasses.dataclass(frozen=True)
class Written:
    """What a stage made of a bundle.

    Attributes:
      parts: By step that writes, the parts of what it wrote.
      report: What Beam measured, serialized `MonitoringInfo`s.
    """

    parts: dict[str, list[Pieces]]
    report: list[bytes]


def run_bundle(stage: Stage, bundle: Bundle, sides: Sequence[Pieces]) -> Written:
    """Runs a stage on a bundle.

    A bundle without elements is not run: its steps have nothing to do.

    Args:
      stage: The stage.
      bundle: The bundle.
      sides: The elements of each of the stage's side inputs.

    Raises:
      RuntimeError: with the text of what a step raised.
    """
    if not any(any(of) for of in bundle.inputs.values()):
        count = {GROUPED: bundle.parts, SPREAD: bundle.parts}
        return Written(
            {step: [[]] * count.get(port.kind, 1) for step, port in stage.writes.items()}, []
        )
    descriptor = beam_fn_api_pb2.ProcessBundleDescriptor.FromString(stage.descriptor)
    # A bundle is run again if its worker is lost, and has to write the same.
    random.seed(f"{descriptor.id}-{bundle.number}")
    RuntimeValueProvider.set_runtime_options({})
    with _count(bundle.run), _start_worker(stage, descriptor, sides) as worker:
        pieces, report = _process(worker, descriptor.id, bundle.inputs)
    coders = make_context(descriptor).coders
    parts = {
        step: _divide(coders[stage.safe_coders[port.coder]], port, pieces[step], bundle)
        for step, port in stage.writes.items()
    }
    return Written(parts, report)


def group(stage: Stage, step: str, written: Port, pieces: Sequence[Pieces]) -> Pieces:
    """Groups values by key.

    Args:
      stage: The stage that reads the groups.
      step: The step that does.
      written: Where the values were written.
      pieces: All values of some keys, as encoded keys and values.

    Returns:
      The groups, encoded.
    """
    context = make_context(beam_fn_api_pb2.ProcessBundleDescriptor.FromString(stage.descriptor))
    buffer = execution.GroupingBuffer(
        context.coders[stage.safe_coders[written.coder]],
        context.coders[stage.safe_coders[stage.reads[step].coder]],
        context.windowing_strategies[written.windowing],
    )
    for piece in chain(pieces):
        buffer.append(piece)
    return [piece for piece in buffer if piece]


def chain(pieces: Sequence[Pieces]) -> Pieces:
    """Returns pieces of several bundles as those of one."""
    return [piece for of in pieces for piece in of]


def pick(written: Written, step: str, part: int) -> Pieces:
    """Returns a part of what a step wrote."""
    return written.parts[step][part]


def get_report(written: Written) -> list[bytes]:
    """Returns what Beam measured while it ran a bundle."""
    return written.report


def count_running(run: str) -> int:
    """Returns how many bundles of a run this process runs now."""
    return _running[run]


def make_context(descriptor: beam_fn_api_pb2.ProcessBundleDescriptor) -> PipelineContext:
    """Returns the coders and windowing strategies of a stage, by id."""
    return PipelineContext(
        beam_runner_api_pb2.Components(
            pcollections=dict(descriptor.pcollections),
            coders=dict(descriptor.coders),
            windowing_strategies=dict(descriptor.windowing_strategies),
            environments=dict(descriptor.environments),
        )
    )


@contextlib.contextmanager
def _count(run: str) -> Iterator[None]:
    with _running_lock:
        _running[run] += 1
    try:
        yield
    finally:
        with _running_lock:
            _running[run] -= 1


class _SideInputs(execution.FnApiRunnerExecutionContext):
    """Beam's lookup of side inputs, for one stage instead of a pipeline."""

    def __init__(self, stage: Stage, descriptor, workers: WorkerHandlerManager):
        self.worker_handler_manager = workers
        self.pipeline_context = make_context(descriptor)
        self.safe_coders = stage.safe_coders
        self.data_channel_coders = stage.channel_coders
        self.pcoll_buffers = {}


@contextlib.contextmanager
def _start_worker(stage: Stage, descriptor, sides: Sequence[Pieces]) -> Iterator:
    """Yields Beam's worker in this process, which knows a stage and its side inputs."""
    provision = beam_provision_api_pb2.ProvisionInfo(retrieval_token="unused")
    workers = WorkerHandlerManager(descriptor.environments, ExtendedProvisionInfo(provision))
    workers.register_process_bundle_descriptor(descriptor)
    side_inputs = _SideInputs(stage, descriptor, workers)
    for side, pieces in zip(stage.side_inputs, sides, strict=True):
        side_inputs.pcoll_buffers[side.buffer] = pieces
        pattern = beam_runner_api_pb2.FunctionSpec.FromString(side.pattern)
        side_inputs.commit_side_inputs_to_state(
            {(side.transform, side.tag): (side.buffer, pattern)}
        )
    try:
        yield workers.get_worker_handlers(stage.environment, 1)[0]
    finally:
        workers.close_all()


def _process(
    worker, identifier: str, inputs: Mapping[str, Pieces]
) -> tuple[Mapping[str, Pieces], list[bytes]]:
    """Returns what the steps that write wrote, and Beam's report."""
    name = f"{identifier}-bundle"
    for step, given in inputs.items():
        stream = worker.data_conn.output_stream(name, step)
        for piece in given:
            stream.write(piece)
        stream.close()
    request = beam_fn_api_pb2.ProcessBundleRequest(process_bundle_descriptor_id=identifier)
    response = worker.control_conn.push(
        beam_fn_api_pb2.InstructionRequest(instruction_id=name, process_bundle=request)
    ).get()
    if response.error:
        raise RuntimeError(response.error)
    if response.process_bundle.residual_roots:
        raise RuntimeError("a step stopped to go on later, which the Dask runner cannot do.")
    pieces = collections.defaultdict(list)
    for output in worker.data_conn.input_elements(name, ()):
        if output.data:
            pieces[output.transform_id].append(output.data)
    infos = response.process_bundle.monitoring_infos
    return pieces, [info.SerializeToString() for info in infos]


def _divide(coder: WindowedValueCoder, port: Port, pieces: Pieces, bundle: Bundle) -> list[Pieces]:
    """Divides what was written: by key, evenly, or not at all."""
    if port.kind not in (GROUPED, SPREAD):
        return [pieces]
    elements = coder.get_impl()
    keys = coder.wrapped_value_coder.key_coder().get_impl() if port.kind == GROUPED else None
    parts = [create_OutputStream() for _ in range(bundle.parts)]
    number = bundle.number
    for piece in pieces:
        stream = create_InputStream(piece)
        while stream.size() > 0:
            element = elements.decode_from_stream(stream, True)
            # Python's own hash of bytes differs between processes.
            number = zlib.crc32(keys.encode(element.value[0])) if keys else number + 1
            elements.encode_to_stream(element, parts[number % bundle.parts], True)
    return [[data] if (data := part.get()) else [] for part in parts]
