"""Reads raw rows on Beam and writes them as labelled tf.Examples, splits unchanged."""

import hashlib
from collections.abc import Mapping

import tensorflow as tf
from absl import logging
from google.protobuf import json_format, struct_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_component_specs

from components.example_gen.source import SourceConfig
from mptrec_tf.data.arrow import serialize_rows
from mptrec_tf.data.label_checks import check_any_label, find_label_warnings
from mptrec_tf.data.label_values import fit_label_values
from mptrec_tf.data.prepare import complete_spec
from mptrec_tf.data.raw_examples import make_record_batch, save_description
from mptrec_tf.data.row_files import WriteGroup, Written, plan_files, write_files
from mptrec_tf.data.runners import raise_user_errors
from mptrec_tf.data.sources.block import Source
from mptrec_tf.data.sources.joining import join_rows
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.errors import InputError

SOURCE_KEY = "source"
FINGERPRINT_PROPERTY = "rows_fingerprint"
_FILE = "data_tfrecord"  # as TFX names the files of examples


class Executor(base_beam_executor.BaseBeamExecutor):
    """Example generation's executor; see `component.RawExampleGen`.

    Rows go from the source into files and nowhere else, see `row_files`. TFX's own executor of
    example generation shuffles them on Beam, which the runner in memory holds all rows for;
    training shuffles them anyway.
    """

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Generates the examples.

        Args:
          input_dict: Nothing.
          output_dict: `examples`.
          exec_properties: `input_config`, whose splits have the paths or globs with spans filled
            in, and `custom_config`, which holds the `SourceConfig`.

        Raises:
          InputError: for raw rows that the spec does not fit, or a split without rows.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        custom, struct = example_gen_pb2.CustomConfig(), struct_pb2.Struct()
        json_format.Parse(exec_properties["custom_config"], custom).custom_config.Unpack(struct)
        config = SourceConfig.from_json(struct[SOURCE_KEY])
        splits = json_format.Parse(exec_properties["input_config"], example_gen_pb2.Input()).splits
        base, _ = config.patterns()
        source = config.open({s.name: f"{base.rstrip('/')}/{s.pattern}" for s in splits})
        names = [split.name for split in splits]
        examples.split_names = artifact_utils.encode_split_names(names)
        directory = examples.uri
        joined, temporary = f"{directory}/joined", f"{directory}/temporary"
        try:
            with raise_user_errors():
                source = join_rows(source, joined, self._make_beam_pipeline)
                source = fit_label_values(source, directory, self._make_beam_pipeline)
                prefixes = {}
                for name in names:
                    folder = artifact_utils.get_split_uri([examples], name)
                    tf.io.gfile.makedirs(folder)
                    prefixes[name] = f"{folder}/{_FILE}"
                written = write_files(
                    plan_files(source, prefixes, ".gz"),
                    WriteGroup(
                        source, make_record_batch, serialize_rows, temporary, has_fingerprint=True
                    ),
                    self._make_beam_pipeline,
                )
        finally:
            for made in (joined, temporary):
                if tf.io.gfile.isdir(made):
                    tf.io.gfile.rmtree(made)
        payload = exec_properties.get(standard_component_specs.OUTPUT_DATA_FORMAT_KEY)
        if payload:
            examples_utils.set_payload_format(examples, payload)
        _describe(examples, source, {name: written.get(name, Written()) for name in names})


def _describe(examples: types.Artifact, source: Source, written: Mapping[str, Written]) -> None:
    spec = source.spec
    surveys, digest = {}, hashlib.sha256(spec.to_json().encode())
    for split, of in written.items():
        if not of.survey.rows:
            raise InputError(f"data set {spec.name!r} has no {split} rows; every split needs some.")
        digest.update(f"{split} {of.fingerprint:064x}\n".encode())
        surveys[split] = of.survey.to_dict(spec)
    check_any_label(spec, surveys)
    for sentence in find_label_warnings(spec, surveys):
        logging.warning("%s", sentence)
    spec = complete_spec(spec, surveys["train"])
    fingerprint = digest.hexdigest()
    save_description(examples.uri, spec, surveys, fingerprint, describe_split(source))
    examples.set_string_custom_property(FINGERPRINT_PROPERTY, fingerprint)
    examples.set_string_custom_property("data_set", spec.name)
