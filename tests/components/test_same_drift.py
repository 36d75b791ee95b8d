"""The distances that mptrec-watch measures are those of TFDV's comparators."""

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.data_gate.checks import measure_drift as gate_drift
from components.data_gate.config import GateConfig
from mptrec_tf.data.distributions import count_ids, count_numbers, make_edges, measure_drift
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask

SPEC = DatasetSpec("shop", (Categorical("color"),), (BinaryTask("buy", "bought", ("yes",)),))


def test_ids_as_the_data_gate_measures_values():
    before, after = np.repeat([0, 1, 2], [60, 35, 5]), np.repeat([0, 1, 3], [20, 45, 35])
    mine = measure_drift(*(count_ids(of, 0, 4, 1) for of in (before, after)))
    old, new = (
        tfdv.generate_statistics_from_dataframe(pd.DataFrame({"color": [f"c{i}" for i in of]}))
        for of in (before, after)
    )
    [row] = gate_drift(new, old, tfdv.infer_schema(old), SPEC, GateConfig())
    assert row["drift"] == pytest.approx(0.4)
    assert mine == pytest.approx(row["drift"])


def make_statistics(edges, shares, count):
    """Returns TFDV's statistics of a number with these bins."""
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=count)
    feature = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    feature.path.step.append("price")
    common = feature.num_stats.common_stats
    common.num_non_missing = common.tot_num_values = count
    histogram = feature.num_stats.histograms.add()
    bounds = [edges[0] - 1, *edges, edges[-1] + 1]
    for low, high, share in zip(bounds[:-1], bounds[1:], shares, strict=True):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=share * count)
    return statistics


def test_numbers_in_the_same_bins():
    random = np.random.default_rng(0)
    before, after = random.normal(0, 1, 4000), random.normal(0.7, 1.3, 3000)
    edges = make_edges(before)
    one, other = (count_numbers(of, edges) for of in (before, after))
    schema = schema_pb2.Schema()
    price = schema.feature.add(name="price", type=schema_pb2.FLOAT)
    price.drift_comparator.jensen_shannon_divergence.threshold = 0.01
    compared = tfdv.validate_statistics(
        make_statistics(edges, other.shares, 3000),
        schema,
        previous_statistics=make_statistics(edges, one.shares, 4000),
    )
    [info] = compared.drift_skew_info
    [measured] = info.drift_measurements
    assert measured.value > 0.05
    assert measure_drift(one, other) == pytest.approx(measured.value, rel=1e-6)
