"""A FileBasedExampleGen that reads any data set and labels it."""

from google.protobuf import struct_pb2
from tfx.components.example_gen import utils
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from components.example_gen.executor import SOURCE_KEY, Executor
from components.example_gen.source import SourceConfig
from mptrec_tf.data.sources.block import Source
from mptrec_tf.data.sources.splits import SPLITS


class RawExampleGen(FileBasedExampleGen):
    """Raw rows of a built-in data set, or of a user's spec and files, as labelled tf.Examples.

    Outputs:
      examples: `Examples` with the splits train, validation and test unchanged, and
        `examples.json` (see `mptrec_tf.data.raw_examples`). Its property `rows_fingerprint`
        identifies the rows, whatever their order.

    Execution properties:
      input_base, input_config: The files, which TFX fingerprints.
      custom_config: The `SourceConfig`.

    Args:
      source: The data set.

    Example:
      example_gen = RawExampleGen(SourceConfig(dataset="synthetic", options={"rows": 10_000}))
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, source: SourceConfig):
        base, config = _make_input(source)
        struct = struct_pb2.Struct()
        struct[SOURCE_KEY] = source.to_json()
        custom_config = example_gen_pb2.CustomConfig()
        custom_config.custom_config.Pack(struct)
        super().__init__(
            input_base=base,
            input_config=config,
            custom_config=custom_config,
        )


def open_newest(source: SourceConfig) -> Source:
    """Opens a data set outside a pipeline, with the newest span of its files.

    Raises:
      InputError: as `SourceConfig.open` does.
    """
    base, config = _make_input(source)
    utils.calculate_splits_fingerprint_span_and_version(base, config.splits)  # fills in spans
    return source.open({s.name: f"{base.rstrip('/')}/{s.pattern}" for s in config.splits})


def _make_input(source: SourceConfig) -> tuple[str, example_gen_pb2.Input]:
    """Returns the directory of the files, and their patterns."""
    base, patterns = source.patterns()
    splits = [example_gen_pb2.Input.Split(name=s, pattern=patterns[s]) for s in SPLITS]
    return base, example_gen_pb2.Input(splits=splits)
