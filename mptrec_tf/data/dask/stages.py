"""Divides a pipeline into stages: fused steps, with what each reads from and writes to others.

Beam's own code of portable runners fuses the steps. What it leaves to a runner is to group values
by key, to spread elements anew, and to hand side inputs to the stages that want them.
"""

import copy
import dataclasses
from collections.abc import Iterator

from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_fn_api_pb2, beam_runner_api_pb2
from apache_beam.runners.pipeline_utils import (
    merge_common_environments,
    merge_superset_dep_environments,
    validate_pipeline_graph,
)
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.runners.worker import bundle_processor

from mptrec_tf.errors import InputError

# Kinds of buffers, by how they are divided. A whole one has a part for each bundle that wrote it.
WHOLE, GROUPED, SPREAD = "materialize", "group", "spread"
IMPULSE = translations.IMPULSE_BUFFER
_RESHUFFLE = common_urns.composites.RESHUFFLE.urn
_PHASES = (
    translations.annotate_downstream_side_inputs,
    translations.fix_side_input_pcoll_coders,
    translations.pack_combiners,
    translations.lift_combiners,
    translations.expand_sdf,
    lambda stages, context: _expand_reshuffle(stages, context),
    translations.expand_gbk,
    translations.sink_flattens,
    translations.greedily_fuse,
    translations.read_to_impulse,
    translations.impulse_to_input,
    translations.sort_stages,
    translations.add_impulse_to_dangling_transforms,
    translations.populate_data_channel_coders,
)


@dataclasses.dataclass(frozen=True)
class Port:
    """Where a stage reads or writes elements.

    Attributes:
      buffer: bytes. What is read or written, a name.
      coder: str. The id of the elements' coder.
      windowing: str. The id of their windowing strategy.
    """

    buffer: bytes
    coder: str
    windowing: str

    @property
    def kind(self) -> str:
        """How the buffer is divided."""
        return translations.split_buffer_id(self.buffer)[0]


@dataclasses.dataclass(frozen=True)
class SideInput:
    """What a step of a stage reads beside its elements.

    Attributes:
      transform: str. The step.
      tag: str. What the step calls it.
      pcollection: str. Its elements.
      pattern: bytes. How the step looks them up, a serialized `FunctionSpec`.
    """

    transform: str
    tag: str
    pcollection: str
    pattern: bytes

    @property
    def buffer(self) -> bytes:
        """The buffer that has the elements."""
        return translations.create_buffer_id(self.pcollection)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps that one worker runs on a bundle of elements; it can be pickled.

    Attributes:
      name: str. The first and the last step's names.
      descriptor: bytes. The steps, a serialized `ProcessBundleDescriptor`.
      reads: By step, where elements come from.
      writes: By step, where they go.
      side_inputs: What steps read beside.
      safe_coders: By id of a coder, of one that takes what a runner need not know as bytes.
      channel_coders: By PCollection, the id of its coder between stages.
      environment: Optional. The id of the steps' environment, if they ask for one.
    """

    name: str
    descriptor: bytes
    reads: dict[str, Port]
    writes: dict[str, Port]
    side_inputs: tuple[SideInput, ...]
    safe_coders: dict[str, str]
    channel_coders: dict[str, str]
    environment: str | None


def make_stages(pipeline: beam_runner_api_pb2.Pipeline, run: str) -> list[Stage]:
    """Returns the stages of a pipeline, each after those that it reads from.

    Args:
      pipeline: The pipeline.
      run: A name that no other run has.

    Raises:
      InputError: for steps with state or timers, which need a runner that has them.
    """
    validate_pipeline_graph(pipeline)
    pipeline = merge_common_environments(merge_superset_dep_environments(pipeline))
    context, fused = translations.create_and_optimize_stages(
        copy.deepcopy(pipeline),
        phases=_PHASES,
        known_runner_urns=frozenset(
            {
                common_urns.primitives.FLATTEN.urn,
                common_urns.primitives.GROUP_BY_KEY.urn,
                _RESHUFFLE,
            }
        ),
    )
    return [_make_stage(stage, context, f"{run}-{i}") for i, stage in enumerate(fused)]


def _expand_reshuffle(
    stages: Iterator[translations.Stage], context: translations.TransformContext
) -> Iterator[translations.Stage]:
    """Makes a write and a read of each reshuffle, as Beam does of each grouping.

    Beam's own steps would draw random keys: other ones for a bundle that is run again, after its
    worker was lost, while some of its elements have been read already.
    """
    for stage in stages:
        transform = translations.only_transform(stage.transforms)
        if transform.spec.urn != _RESHUFFLE:
            yield stage
            continue
        for pcollection in (*transform.inputs.values(), *transform.outputs.values()):
            context.length_prefix_pcoll_coders(pcollection)
        name = transform.unique_name
        spec = {"payload": translations.create_buffer_id(name, kind=SPREAD)}
        write = beam_runner_api_pb2.PTransform(
            unique_name=f"{name}/Write",
            inputs={"in": next(iter(transform.inputs.values()))},
            spec=beam_runner_api_pb2.FunctionSpec(urn=bundle_processor.DATA_OUTPUT_URN, **spec),
        )
        read = beam_runner_api_pb2.PTransform(
            unique_name=f"{name}/Read",
            outputs=transform.outputs,
            spec=beam_runner_api_pb2.FunctionSpec(urn=bundle_processor.DATA_INPUT_URN, **spec),
        )
        first = translations.Stage(
            write.unique_name, [write], frozenset(), must_follow=stage.must_follow
        )
        yield first
        yield translations.Stage(
            read.unique_name,
            [read],
            stage.downstream_side_inputs,
            must_follow=translations.union(frozenset([first]), stage.must_follow),
        )


def _make_stage(
    stage: translations.Stage, context: translations.TransformContext, identifier: str
) -> Stage:
    if stage.is_stateful():
        raise InputError(
            f"the Dask runner has no state and no timers, which {stage.name} needs; run it on "
            "another of Beam's runners."
        )
    reads, writes = {}, {}
    ports = {bundle_processor.DATA_INPUT_URN: reads, bundle_processor.DATA_OUTPUT_URN: writes}
    transforms, sides = {}, []
    for transform in stage.transforms:
        name = transform.unique_name
        if transform.spec.urn in ports:
            ends = (*transform.inputs.values(), *transform.outputs.values())
            port = _make_port(context, translations.only_element(ends), transform.spec.payload)
            ports[transform.spec.urn][name] = port
            transform = copy.deepcopy(transform)
            transform.spec.payload = beam_fn_api_pb2.RemoteGrpcPort(
                coder_id=port.coder
            ).SerializeToString()
        elif transform.spec.urn in translations.PAR_DO_URNS:
            payload = beam_runner_api_pb2.ParDoPayload.FromString(transform.spec.payload)
            sides += [
                SideInput(name, tag, transform.inputs[tag], of.access_pattern.SerializeToString())
                for tag, of in payload.side_inputs.items()
            ]
        transforms[name] = transform
    parts = context.components
    steps = [name for name in transforms if name not in reads | writes]
    return Stage(
        " to ".join(dict.fromkeys((steps[0], steps[-1]))) if steps else stage.name,
        beam_fn_api_pb2.ProcessBundleDescriptor(
            id=identifier,
            transforms=transforms,
            pcollections=dict(parts.pcollections),
            coders=dict(parts.coders),
            windowing_strategies=dict(parts.windowing_strategies),
            environments=dict(parts.environments),
        ).SerializeToString(),
        reads,
        writes,
        tuple(sides),
        dict(context.safe_coders),
        dict(context.data_channel_coders),
        stage.environment,
    )


def _make_port(context: translations.TransformContext, pcollection: str, buffer: bytes) -> Port:
    windowing = context.components.pcollections[pcollection].windowing_strategy_id
    return Port(buffer, context.data_channel_coders[pcollection], windowing)
