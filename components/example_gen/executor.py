"""Reads raw rows on Beam and writes them as labelled tf.Examples, splits unchanged."""

import hashlib
import json
from typing import Any

import apache_beam as beam
import tensorflow as tf
from absl import logging
from google.protobuf import json_format, struct_pb2
from tfx.components.example_gen import base_example_gen_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.example_gen.source import SourceConfig
from mptrec_tf.data.arrow import serialize_rows
from mptrec_tf.data.label_checks import check_any_label, find_label_warnings
from mptrec_tf.data.label_values import fit_label_values
from mptrec_tf.data.prepare import complete_spec
from mptrec_tf.data.raw_examples import make_record_batch, save_description
from mptrec_tf.data.reading import read_split, read_summary
from mptrec_tf.data.runners import find_user_error
from mptrec_tf.data.sources.block import join_rows
from mptrec_tf.data.sources.split_rows import describe_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

SOURCE_KEY = "source"
FINGERPRINT_PROPERTY = "rows_fingerprint"
_MODULUS = 1 << 256


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """Example generation's executor; see `component.RawExampleGen`."""

    def GetInputSourceToExamplePTransform(self):  # noqa: N802
        """Rejects: splits are read by name, see `GenerateExamplesByBeam`."""
        raise NotImplementedError("rows are read by split, not by file pattern")

    def GenerateExamplesByBeam(  # noqa: N802
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """Returns serialized examples by split."""
        source = self._source
        examples = {}
        for split in self._splits:
            batches, survey = read_split(pipeline, source, split, make_record_batch)
            encoded = batches | f"Encode/{split}" >> beam.Map(serialize_rows)
            _ = (
                (
                    survey,
                    encoded | f"Fingerprint/{split}" >> beam.CombineGlobally(_Fingerprint()),
                )
                | f"Both/{split}" >> beam.Flatten()
                | f"Json/{split}" >> beam.Map(json.dumps)
                | f"WriteSummary/{split}"
                >> beam.io.WriteToText(self._summary_path(split), shard_name_template="")
            )
            examples[split] = encoded | f"Rows/{split}" >> beam.FlatMap(lambda rows: rows)
        return examples

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
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        self._directory = examples.uri
        custom, struct = example_gen_pb2.CustomConfig(), struct_pb2.Struct()
        json_format.Parse(exec_properties["custom_config"], custom).custom_config.Unpack(struct)
        config = SourceConfig.from_json(struct[SOURCE_KEY])
        splits = json_format.Parse(exec_properties["input_config"], example_gen_pb2.Input()).splits
        base, _ = config.patterns()
        self._source = config.open({s.name: f"{base.rstrip('/')}/{s.pattern}" for s in splits})
        self._splits = [split.name for split in splits]
        joined = f"{self._directory}/joined"
        try:
            self._source = join_rows(self._source, joined, self._make_beam_pipeline)
            self._source = fit_label_values(self._source, self._directory, self._make_beam_pipeline)
            super().Do(input_dict, output_dict, exec_properties)
        except Exception as error:
            mistake = find_user_error(error)
            if mistake is None:
                raise
            raise mistake from error
        finally:
            if tf.io.gfile.isdir(joined):
                tf.io.gfile.rmtree(joined)
        self._describe(examples)

    def _summary_path(self, split: str) -> str:
        return f"{self._directory}/summary-{split}.json"

    def _describe(self, examples) -> None:
        spec: DatasetSpec = self._source.spec
        surveys, digest = {}, hashlib.sha256(spec.to_json().encode())
        for split in self._splits:
            parts = read_summary(self._summary_path(split))
            if not parts["rows"]:
                raise InputError(
                    f"data set {spec.name!r} has no {split} rows; every split needs some."
                )
            digest.update(f"{split} {parts.pop('fingerprint')}\n".encode())
            surveys[split] = parts
        check_any_label(spec, surveys)
        for sentence in find_label_warnings(spec, surveys):
            logging.warning("%s", sentence)
        spec = complete_spec(spec, surveys["train"])
        fingerprint = digest.hexdigest()
        save_description(self._directory, spec, surveys, fingerprint, describe_split(self._source))
        examples.set_string_custom_property(FINGERPRINT_PROPERTY, fingerprint)
        examples.set_string_custom_property("data_set", spec.name)


class _Fingerprint(beam.CombineFn):
    """Sums the rows' SHA-256: it depends on every row, and not on their order."""

    def create_accumulator(self):
        return 0

    def add_input(self, accumulator, rows):
        digests = (int.from_bytes(hashlib.sha256(row).digest(), "big") for row in rows)
        return (accumulator + sum(digests)) % _MODULUS

    def merge_accumulators(self, accumulators):
        return sum(accumulators) % _MODULUS

    def extract_output(self, accumulator):
        return {"fingerprint": f"{accumulator:064x}"}
