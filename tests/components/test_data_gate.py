import json
import math

import pandas as pd
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.types import standard_artifacts
from tfx.v1.components import ExampleValidator

from components.data_gate.checks import (
    find_drift_problems,
    find_label_problems,
    find_schema_problems,
    measure_drift,
)
from components.data_gate.component import DataGate
from components.data_gate.config import GateConfig
from components.report import read_report
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.raw_examples import save_description
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

SPEC = DatasetSpec(
    "shop",
    (Categorical("color"), Numeric("price")),
    (BinaryTask("buy", "bought", ("yes",)), BinaryTask("stay", "seconds", above=30)),
)
# 60 red and 40 blue; prices 0 to 99; a half of the labels is positive.
GOOD = {
    "color": ["red"] * 60 + ["blue"] * 40,
    "price": [float(i) for i in range(100)],
    "label/buy": [0.0, 1.0] * 50,
}


def make_statistics(**changes):
    columns = {name: values for name, values in (GOOD | changes).items() if values is not None}
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame(columns))


@pytest.fixture(scope="module")
def good():
    return make_statistics()


@pytest.fixture(scope="module")
def inferred(good):
    return tfdv.infer_schema(good)


@pytest.fixture
def gate_schema(inferred):
    schema = schema_pb2.Schema()
    schema.CopyFrom(inferred)
    return schema


def list_colors(**counts):
    return [color for color, count in counts.items() for _ in range(count)]


def check_schema(statistics, schema, config=None, split="train"):
    anomalies = tfdv.validate_statistics(statistics, schema)
    return find_schema_problems(anomalies, statistics, schema, split, SPEC, config or GateConfig())


def measure_drift_by_feature(statistics, baseline, schema, config=None):
    return {
        r["feature"]: r
        for r in measure_drift(statistics, baseline, schema, SPEC, config or GateConfig())
    }


def test_good_data_pass(good, gate_schema):
    assert check_schema(good, gate_schema) == []
    assert find_label_problems(good, "train", SPEC.select_tasks(["buy"])) == []
    assert find_drift_problems(measure_drift(good, good, gate_schema, SPEC, GateConfig())) == []


def test_unseen_values_count_by_their_share(gate_schema):
    some = make_statistics(color=list_colors(red=60, blue=39, green=1))
    assert check_schema(some, gate_schema) == []  # 1% is not more than 1%
    more = make_statistics(color=list_colors(red=60, blue=37, green=2, gold=1))
    [problem] = check_schema(more, gate_schema)
    assert problem.startswith(
        "feature 'color': 3.0% of the train rows have values that the schema does not list "
        "('green', 'gold'), more than 1.0%; add them to the schema and pre-train again"
    )
    assert check_schema(more, gate_schema, GateConfig(max_unseen_share=0.03)) == []
    assert check_schema(more, gate_schema, GateConfig(max_unseen_share=0.029)) == [
        problem.replace("than 1.0%", "than 2.9%")
    ]


def test_values_that_the_statistics_do_not_list_count_too(good, gate_schema):
    """Statistics list the most frequent values; here two of them, and 30 rows hold others."""
    statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(good.SerializeToString())
    [feature] = [f for f in statistics.datasets[0].features if f.path.step[0] == "color"]
    feature.string_stats.unique = 22
    buckets = feature.string_stats.rank_histogram.buckets
    buckets[0].sample_count, buckets[1].label, buckets[1].sample_count = 65, "green", 5
    anomalies = anomalies_pb2.Anomalies()
    reason = anomalies.anomaly_info["color"].reason.add()
    reason.type = anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES

    def find_problems(limit):
        config = GateConfig(max_unseen_share=limit)
        return find_schema_problems(anomalies, statistics, gate_schema, "test", SPEC, config)

    # 5 green ones, and 30 others of which at most 5 can be blue: no value counts more than the
    # last one that is listed.
    [problem] = find_problems(0.29)
    assert "30.0% of the test rows have values that the schema does not list ('green')" in problem
    assert find_problems(0.3) == []


def test_a_feature_of_another_kind_or_with_gaps_is_named(gate_schema):
    prices = [*map(float, range(90)), *[None] * 10]
    problems = check_schema(make_statistics(price=prices), gate_schema, split="validation")
    assert any("minimum fraction = 1.000000, actual = 0.900000" in problem for problem in problems)
    assert all(p.startswith("feature 'price' of the validation split: ") for p in problems)
    [problem] = check_schema(make_statistics(price=["cheap"] * 100), gate_schema)
    assert problem.startswith("feature 'price' of the train split: Expected data of type: FLOAT")
    [problem] = check_schema(make_statistics(color=None), gate_schema)
    assert problem == "feature 'color' of the train split: Column is completely missing"


def test_unseen_values_do_not_hide_what_else_is_wrong(gate_schema):
    values = [*list_colors(red=60, blue=29, green=1), *[None] * 10]
    *others, unseen = check_schema(make_statistics(color=values), gate_schema)
    assert others
    assert all(p.startswith("feature 'color' of the train split: ") for p in others)
    assert unseen.startswith("feature 'color': 1.1% of the train rows")  # 1 of 90


def test_text_of_digits_may_have_other_text(gate_schema):
    digits = make_statistics(color=["1"] * 60 + ["2"] * 40)
    schema = tfdv.infer_schema(digits)
    assert tfdv.get_feature(schema, "color").HasField("int_domain")
    other = make_statistics(color=["1"] * 60 + ["red"] * 40)
    anomalies = tfdv.validate_statistics(other, schema)
    assert "color" in anomalies.anomaly_info
    assert find_schema_problems(anomalies, other, schema, "train", SPEC, GateConfig()) == []
    [row] = [
        r
        for r in measure_drift(other, digits, schema, SPEC, GateConfig())
        if r["feature"] == "color"
    ]
    assert row["drift"] == pytest.approx(0.4)


def test_labels_come_and_go_without_the_schema(gate_schema):
    statistics = make_statistics(**{"label/buy": None, "label/stay": [0.0, 1.0] * 50})
    assert check_schema(statistics, gate_schema) == []


def test_a_split_without_rows_is_named(gate_schema):
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    empty.datasets.add()
    assert check_schema(empty, gate_schema, split="test")[0] == "the test split has no rows"


def test_missing_labels_are_named(good):
    assert find_label_problems(good, "train", SPEC.select_tasks(["buy", "stay"])) == [
        "no train row has a label for task 'stay'; add its label column"
    ]
    gaps = make_statistics(**{"label/buy": [*[0.0, 1.0] * 48, *[None] * 4]})
    assert find_label_problems(gaps, "test", SPEC.select_tasks(["buy"])) == [
        "4 of 100 test rows have no label for task 'buy'; leave them out, or label them"
    ]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_of_one_class_are_named(value):
    statistics = make_statistics(**{"label/buy": [value] * 100})
    assert find_label_problems(statistics, "validation", SPEC.select_tasks(["buy"])) == [
        f"task 'buy' has one class only in the validation split: every label is {value:g}; check "
        "what counts as positive"
    ]


def test_drift_of_text_is_the_largest_difference_of_a_share(good, gate_schema):
    other = make_statistics(color=list_colors(red=35, blue=50, green=15))
    drift = measure_drift_by_feature(other, good, gate_schema)["color"]  # red 60% to 35%
    assert drift == {"feature": "color", "drift": pytest.approx(0.25), "limit": 0.1}
    assert find_drift_problems([drift]) == [
        "feature 'color' drifted by 0.250 from the backbone's training data, more than 0.1; "
        "pre-train a backbone on newer data, or raise the feature's limit if the change is meant"
    ]


def test_drift_of_numbers_is_a_divergence(good, gate_schema):
    same = measure_drift_by_feature(good, good, gate_schema)
    assert same["price"]["drift"] == pytest.approx(0, abs=1e-6)
    far = make_statistics(price=[1000.0 + i for i in range(100)])
    drift = measure_drift_by_feature(far, good, gate_schema)
    assert drift["price"]["drift"] == pytest.approx(1, abs=0.01)  # nothing in common
    assert list(drift) == ["price", "color"]  # the largest first
    [problem] = find_drift_problems(drift.values())
    assert problem.startswith("feature 'price' drifted by ")


def test_missing_numbers_drift_by_their_share(good, gate_schema):
    def with_missing(every, first=0.0):
        prices = [[math.nan if i % every == 0 else first + i] for i in range(100)]
        batch = pa.record_batch([pa.array(prices, pa.list_(pa.float32()))], ["price"])
        return generate_statistics_in_memory(batch)

    half, fifth = with_missing(2), with_missing(5)
    before = half.SerializeToString()
    for others, drift in ((half, 0.0), (fifth, 0.3), (good, 0.5)):
        found = measure_drift_by_feature(others, half, gate_schema)["price"]["drift"]
        assert found == pytest.approx(drift, abs=0.03)
    far = measure_drift_by_feature(with_missing(2, first=1000.0), half, gate_schema)
    assert far["price"]["drift"] == pytest.approx(1, abs=0.01)
    assert half.SerializeToString() == before


def test_a_feature_may_have_a_limit_of_its_own(good, gate_schema):
    other = make_statistics(color=list_colors(red=45, blue=55))
    for limit, rejected in ((0.14, 1), (0.16, 0)):
        config = GateConfig(max_drift_of={"color": limit})
        rows = measure_drift(other, good, gate_schema, SPEC, config)
        assert {r["feature"]: r["limit"] for r in rows} == {"color": limit, "price": 0.1}
        assert len(find_drift_problems(rows)) == rejected
    with pytest.raises(InputError, match="limit is given for 'colour', which is not a feature of"):
        measure_drift(other, good, gate_schema, SPEC, GateConfig(max_drift_of={"colour": 0.5}))


def test_drift_limits_of_a_curated_schema_stay(good, gate_schema):
    comparator = tfdv.get_feature(gate_schema, "color").drift_comparator
    comparator.infinity_norm.threshold = 0.3
    before = text_format.MessageToString(gate_schema)
    other = make_statistics(color=list_colors(red=35, blue=65))
    drift = measure_drift_by_feature(other, good, gate_schema)
    assert (drift["color"]["limit"], drift["price"]["limit"]) == (0.3, 0.1)
    assert find_drift_problems(drift.values()) == []
    assert text_format.MessageToString(gate_schema) == before


def test_a_feature_that_the_schema_lacks_is_reported_by_the_schema_check(good, gate_schema):
    del gate_schema.feature[[f.name for f in gate_schema.feature].index("price")]
    assert list(measure_drift_by_feature(good, good, gate_schema)) == ["color"]
    [problem] = check_schema(good, gate_schema)
    assert problem.startswith("feature 'price' of the train split: ")


def artifact(kind, folder):
    created = kind()
    created.uri = str(folder)
    folder.mkdir()
    return created


@pytest.fixture
def gate(tmp_path, run_component, good, inferred):
    """Runs the gate on statistics by split; what is not given is good."""

    def gate(baseline=None, tasks=("buy",), config=None, **splits):
        inputs = {
            "examples": artifact(standard_artifacts.Examples, tmp_path / "examples"),
            "statistics": artifact(standard_artifacts.ExampleStatistics, tmp_path / "statistics"),
            "schema": artifact(standard_artifacts.Schema, tmp_path / "schema"),
        }
        inputs["statistics"].split_names = json.dumps(SPLITS)
        save_description(inputs["examples"].uri, SPEC, {}, "abc")
        tfdv.write_schema_text(inferred, f"{inputs['schema'].uri}/schema.pbtxt")
        for split in SPLITS:
            folder = tmp_path / "statistics" / f"Split-{split}"
            folder.mkdir()
            (folder / "FeatureStats.pb").write_bytes(splits.get(split, good).SerializeToString())
        inputs["anomalies"] = run_component(
            ExampleValidator,
            tmp_path / "validator",
            {name: inputs[name] for name in ("statistics", "schema")},
        )["anomalies"]
        if baseline:
            kind = standard_artifacts.ExampleStatistics
            inputs["baseline_statistics"] = artifact(kind, tmp_path / "baseline")
            folder = tmp_path / "baseline" / "Split-train"
            folder.mkdir()
            (folder / "FeatureStats.pb").write_bytes(baseline.SerializeToString())
        outputs = run_component(DataGate, tmp_path / "gate", inputs, tasks=tasks, config=config)
        return outputs["report"].uri

    return gate


def test_the_gate_reports_rows_and_drift(gate, good):
    uri = gate(baseline=good, test=make_statistics(color=list_colors(red=50, blue=50)))
    report = read_report(uri)
    assert report["tasks"] == ["buy"]
    assert report["splits"] == [{"split": split, "rows": 100} for split in SPLITS]
    assert {row["feature"] for row in report["drift"]} == {"color", "price"}
    with open(f"{uri}/report.html") as file:
        page = file.read()
    assert "<h1>Data gate: shop</h1>" in page
    assert "Drift from the backbone&#x27;s training data" in page


def test_the_gate_names_all_that_is_wrong_at_once(gate, good):
    with pytest.raises(InputError, match=r"^the data of 'shop' are not fit: ") as caught:
        gate(
            baseline=good,
            train=make_statistics(color=list_colors(red=35, blue=65)),
            validation=make_statistics(**{"label/buy": [0.0] * 100}),
            test=make_statistics(color=list_colors(red=60, blue=30, green=10)),
        )
    for problem in (
        "task 'buy' has one class only in the validation split: every label is 0",
        "feature 'color': 10.0% of the test rows have values that the schema does not list",
        "feature 'color' drifted by 0.250 from the backbone's training data",
    ):
        assert problem in str(caught.value)


def test_without_a_baseline_nothing_drifts(gate):
    assert (
        read_report(gate(train=make_statistics(color=list_colors(red=1, blue=99))))["drift"] == []
    )


def test_limits_go_to_the_gate(gate, good):
    config = GateConfig(max_drift_of={"color": 0.3}, max_unseen_share=0.2)
    other = make_statistics(color=list_colors(red=35, blue=55, green=10))
    rows = read_report(gate(baseline=good, config=config, train=other))["drift"]
    assert {row["feature"]: row["limit"] for row in rows} == {"color": 0.3, "price": 0.1}


def test_an_unknown_task_is_rejected(gate):
    with pytest.raises(InputError, match="unknown task 'sell': data set 'shop' has buy, stay"):
        gate(tasks=("sell",))


def test_the_gate_lets_the_synthetic_rows_pass(
    tmp_path, run_component, examples, statistics, schema
):
    inputs = {"statistics": statistics, "schema": schema}
    inputs["anomalies"] = run_component(ExampleValidator, tmp_path / "v", inputs)["anomalies"]
    inputs |= {"examples": examples, "baseline_statistics": statistics}
    outputs = run_component(DataGate, tmp_path / "gate", inputs, tasks=("click", "purchase"))
    report = read_report(outputs["report"].uri)
    assert [row["rows"] for row in report["splits"]] == [1200, 200, 400]
    assert len(report["drift"]) == 10
    assert max(row["drift"] for row in report["drift"]) == pytest.approx(0, abs=1e-6)


TAGS = DatasetSpec("tags", (Bag("tags"), Vector("place", 2)), SPEC.tasks)


def make_list_statistics(tags, places=None):
    places = [[0.5, float(i)] for i in range(len(tags))] if places is None else places
    encoded = [[tag.encode() for tag in of] or None for of in tags]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(encoded, pa.large_list(pa.binary())), pa.array(places, pa.list_(pa.float32()))],
        ["tags", "place"],
    )
    return generate_statistics_in_memory(batch, tfdv.StatsOptions())


def find_list_problems(statistics, schema, **config):
    anomalies = tfdv.validate_statistics(statistics, schema)
    return find_schema_problems(
        anomalies, statistics, schema, "validation", TAGS, GateConfig(**config)
    )


def test_rows_may_have_any_number_of_values_of_a_bag():
    schema = tfdv.infer_schema(make_list_statistics([["a"], ["a", "b"]] * 50))
    rows = make_list_statistics([["a"], [], ["b", "a", "b", "a"]] * 20)
    assert find_list_problems(rows, schema) == []
    # 20 of 120 values; counted by rows the share would be larger.
    new = make_list_statistics([["a"], ["b", "a", "b", "a", "c"]] * 20)
    assert find_list_problems(new, schema, max_unseen_share=0.17) == []
    [problem] = find_list_problems(new, schema, max_unseen_share=0.16)
    assert problem.startswith("feature 'tags': 16.7% of the validation values are some that the ")


def test_the_drift_of_a_bag_is_that_of_its_values():
    before = make_list_statistics([["a", "b"], ["a"]] * 20)
    after = make_list_statistics([["b", "b", "a"], []] * 20)
    rows = measure_drift(after, before, tfdv.infer_schema(before), TAGS, GateConfig())
    [tags] = [row["drift"] for row in rows if row["feature"] == "tags"]
    assert tags == pytest.approx(1 / 3)


def test_a_vector_of_another_size_does_not_fit_the_schema():
    schema = tfdv.infer_schema(make_list_statistics([["a"], ["a", "b"]]))
    rows = make_list_statistics([["a"], ["b"]], [[1.0, 2.0], [1.0]])
    [problem] = find_list_problems(rows, schema)
    assert problem.startswith("feature 'place' of the validation split")
