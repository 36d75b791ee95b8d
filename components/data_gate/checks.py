"""Checks data by their statistics. Each check returns its problems as sentences.

Statistics and schemas are TensorFlow Data Validation's and TensorFlow Metadata's protos.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.data_gate.config import GateConfig
from mptrec_tf.data.features.base import TEXT, TEXTS
from mptrec_tf.data.raw_examples import label_column
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError

_UNSEEN = anomalies_pb2.AnomalyInfo.Type.ENUM_TYPE_UNEXPECTED_STRING_VALUES
_ANY_NUMBER = {
    anomalies_pb2.AnomalyInfo.Type.Value(name)
    for name in (
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "FEATURE_TYPE_NOT_PRESENT",
        "FEATURE_TYPE_LOW_NUMBER_VALUES",
        "FEATURE_TYPE_HIGH_NUMBER_VALUES",
    )
}
_NO_INTEGER = anomalies_pb2.AnomalyInfo.Type.INT_TYPE_NOT_INT_STRING

Statistics = statistics_pb2.DatasetFeatureStatisticsList


def find_label_problems(statistics: Statistics, split: str, tasks: Sequence[Task]) -> list[str]:
    """Returns problems of labels: missing ones, and splits whose labels are all the same."""
    features = _index_features(statistics)
    problems = []
    for task in tasks:
        feature = features.get(label_column(task.name))
        if feature is None:
            problems.append(
                f"no {split} row has a label for task {task.name!r}; add its label column"
            )
            continue
        common = feature.num_stats.common_stats
        if common.num_missing:
            total = common.num_missing + common.num_non_missing
            problems.append(
                f"{common.num_missing} of {total} {split} rows have no label for task "
                f"{task.name!r}; leave them out, or label them"
            )
        if feature.num_stats.min == feature.num_stats.max:
            problems.append(
                f"task {task.name!r} has {task.one_label} in the {split} split: every label is "
                f"{feature.num_stats.min:g}; {task.label_hint}"
            )
    return problems


def find_schema_problems(
    anomalies: anomalies_pb2.Anomalies,
    statistics: Statistics,
    schema: schema_pb2.Schema,
    split: str,
    spec: DatasetSpec,
    config: GateConfig,
) -> list[str]:
    """Returns features that do not fit the schema.

    Values that the schema does not list are a problem if their share is above the limit.

    Columns that are not features are left out: `find_label_problems` checks labels.
    """
    problems = []
    text = {name for name, kind in spec.column_types.items() if kind in (TEXT, TEXTS)}
    if anomalies.data_missing:
        problems.append(f"the {split} split has no rows")
    for name, info in sorted(anomalies.anomaly_info.items()):
        if name not in spec.feature_names:
            continue
        # Text of digits gets a domain of integers where a schema is inferred. Another text is a new
        # value, which `measure_drift` measures.
        ignored = {_UNSEEN, _NO_INTEGER} if name in text else {_UNSEEN}
        if spec.raw_columns[name].values_per_row is None:
            ignored |= _ANY_NUMBER  # rows may have fewer values than all training rows had, or more
        others = [reason for reason in info.reason if reason.type not in ignored]
        problems += [
            f"feature {name!r} of the {split} split: {reason.description.rstrip('.')}"
            for reason in others
        ]
        if all(reason.type != _UNSEEN for reason in info.reason):
            continue
        share, examples = _measure_unseen(name, statistics, schema)
        if share > config.max_unseen_share:
            single = spec.raw_columns[name].values_per_row == 1
            what = "rows have values" if single else "values are some"
            problems.append(
                f"feature {name!r}: {share:.1%} of the {split} {what} that the schema "
                f"does not list ({', '.join(map(repr, examples))}), more than "
                f"{config.max_unseen_share:.1%}; add them to the schema and pre-train again, "
                "or fix the column"
            )
    return problems


def _measure_unseen(
    name: str, statistics: Statistics, schema: schema_pb2.Schema
) -> tuple[float, list[str]]:
    """Returns a lower bound of the share of values that a feature's domain lacks, and some of them.

    Statistics count only the most frequent values one by one. Of the remaining rows, each value
    that the domain lists has at most as many as the rarest of the frequent values.
    """
    listed = set(tfdv.get_domain(schema, name).value)
    stats = _index_features(statistics)[name].string_stats
    counts = {b.label: b.sample_count for b in stats.rank_histogram.buckets}
    unseen = {label: count for label, count in counts.items() if label not in listed}
    common = stats.common_stats
    total = common.tot_num_values or common.num_non_missing  # rows may have several values
    rest = total - sum(counts.values())
    listed_in_rest = len(listed - counts.keys()) * min(counts.values())
    count = sum(unseen.values()) + max(0, rest - listed_in_rest)
    return count / total, list(unseen)[:3]


def measure_drift(
    statistics: Statistics,
    baseline: Statistics,
    schema: schema_pb2.Schema,
    spec: DatasetSpec,
    config: GateConfig,
) -> list[dict[str, Any]]:
    """Returns how far each feature is from the backbone's training data.

    TensorFlow Data Validation's drift comparators measure it. A comparator that the schema already
    has stays as it is. Of numbers, it compares those that are there; the drift is the difference of
    the shares of missing ones, if that is larger.

    Returns:
      Rows with `feature`, `drift` and `limit`, the largest drift first.

    Raises:
      InputError: for a limit of an unknown feature.
    """
    unknown = sorted(set(config.max_drift_of) - set(spec.feature_names))
    if unknown:
        raise InputError(
            f"a drift limit is given for {unknown[0]!r}, which is not a feature of the data."
        )
    schema = copy.deepcopy(schema)
    text = {name for name, kind in spec.column_types.items() if kind in (TEXT, TEXTS)}
    known = {feature.name for feature in schema.feature}
    for name in spec.feature_names:
        if name not in known:
            continue  # `find_schema_problems` names it
        comparator = tfdv.get_feature(schema, name).drift_comparator
        limit = config.max_drift_of.get(name, config.max_drift)
        if name in text and not comparator.HasField("infinity_norm"):
            comparator.infinity_norm.threshold = limit
        if name not in text and not comparator.HasField("jensen_shannon_divergence"):
            comparator.jensen_shannon_divergence.threshold = limit
    # To the comparator missing numbers (NaN) differ from each other.
    (statistics, missing), (baseline, missing_before) = map(
        _separate_missing, (statistics, baseline)
    )
    compared = tfdv.validate_statistics(statistics, schema, previous_statistics=baseline)
    rows = []
    for info in compared.drift_skew_info:
        name = ".".join(info.path.step)
        more_missing = abs(missing.get(name, 0.0) - missing_before.get(name, 0.0))
        for measurement in info.drift_measurements:
            rows.append(
                {
                    "feature": name,
                    "drift": max(measurement.value, more_missing),
                    "limit": measurement.threshold,
                }
            )
    return sorted(rows, key=lambda row: row["drift"], reverse=True)


def _separate_missing(statistics: Statistics) -> tuple[Statistics, dict[str, float]]:
    """Returns statistics without missing numbers (NaN), and their share by feature."""
    known, shares = copy.deepcopy(statistics), {}
    for name, feature in _index_features(known).items():
        for histogram in feature.num_stats.histograms:
            total = feature.num_stats.common_stats.tot_num_values
            if histogram.num_nan and total:
                shares[name] = histogram.num_nan / total
                histogram.num_nan = 0
    return known, shares


def find_drift_problems(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns features whose drift is above its limit."""
    return [
        f"feature {row['feature']!r} drifted by {row['drift']:.3f} from the backbone's training "
        f"data, more than {row['limit']:g}; pre-train a backbone on newer data, or raise the "
        "feature's limit if the change is meant"
        for row in rows
        if row["drift"] > row["limit"]
    ]


def _index_features(
    statistics: Statistics,
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    return {
        ".".join(feature.path.step): feature
        for dataset in statistics.datasets
        for feature in dataset.features
    }
