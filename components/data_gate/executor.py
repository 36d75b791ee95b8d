"""Runs the data gate's checks over all splits."""

import json

import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_gate.checks import (
    find_drift_problems,
    find_label_problems,
    find_schema_problems,
    measure_drift,
)
from components.data_gate.config import GateConfig
from components.report import write_report
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError


class Executor(base_executor.BaseExecutor):
    """The data gate's executor; see `component.DataGate`."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Checks the data.

        Raises:
          InputError: naming every problem, and what to do.
        """

        def uri(key: str) -> str:
            return artifact_utils.get_single_uri(input_dict[key])

        def statistics(key: str, split: str):
            return tfdv.load_stats_binary(f"{uri(key)}/Split-{split}/FeatureStats.pb")

        config = GateConfig.from_json(exec_properties["config"])
        tasks = json.loads(exec_properties["tasks"])
        spec = read_description(uri("examples"))["spec"]
        schema = tfdv.load_schema_text(io_utils.get_only_uri_in_dir(uri("schema")))
        selected = spec.select_tasks(tasks)
        problems, splits = [], {}
        for split in SPLITS:
            splits[split] = statistics("statistics", split)
            with tf.io.gfile.GFile(f"{uri('anomalies')}/Split-{split}/SchemaDiff.pb", "rb") as file:
                anomalies = anomalies_pb2.Anomalies.FromString(file.read())
            problems += find_label_problems(splits[split], split, selected)
            problems += find_schema_problems(anomalies, splits[split], schema, split, spec, config)
        drifts = []
        if input_dict.get("baseline_statistics"):
            baseline = statistics("baseline_statistics", "train")
            drifts = measure_drift(splits["train"], baseline, schema, spec, config)
            problems += find_drift_problems(drifts)
        if problems:
            raise InputError(f"the data of {spec.name!r} are not fit: {'; '.join(problems)}.")
        rows = [
            {"split": split, "rows": splits[split].datasets[0].num_examples} for split in SPLITS
        ]
        write_report(
            artifact_utils.get_single_uri(output_dict["report"]),
            f"Data gate: {spec.name}",
            {"tasks": tasks, "splits": rows, "drift": drifts},
            {"Rows": rows, "Drift from the backbone's training data": drifts},
        )
