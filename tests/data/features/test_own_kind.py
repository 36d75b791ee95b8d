"""A custom kind of feature and a custom data set, each registered by one call."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.features.base import Feature
from mptrec_tf.data.features.input_shape import Embedding, InputShape
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.registry import (
    FEATURES,
    feature_layers,
    input_width,
    make_zeros,
)
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.prepared_tables import make_feature_rows
from mptrec_tf.data.sets.data_set import DataSet, Option
from mptrec_tf.data.sets.registry import DATASETS, make_built_in_spec, open_source
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.transform.graph import Preprocessing
from mptrec_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Hour(Feature):
    """An hour of the day as two numbers, a place on a circle."""

    section = "toy_hours"
    reads = ("number",)

    period: int = 24

    def problems(self, spec):
        if self.period < 1:
            yield f"{self.name!r}: period must be 1 or more, not {self.period}"

    @classmethod
    def columns(cls, features):
        return 2 * len(features)

    @classmethod
    def pack(cls, spec, features, columns):
        periods = tf.constant([2 * np.pi / f.period for f in features], tf.float32)
        angles = tf.stack([columns[f.name] for f in features], axis=1) * periods
        pairs = tf.stack([tf.sin(angles), tf.cos(angles)], axis=2)
        return tf.reshape(pairs, [-1, 2 * len(features)])


@dataclasses.dataclass(frozen=True)
class Word(Feature):
    """A text that is hashed into ids of a table of its own."""

    section = "toy_words"
    reads = ("text",)
    dtype = "int64"

    buckets: int = 5

    @classmethod
    def pack(cls, spec, features, columns):
        ids, offset = [], 0
        for f in features:
            ids.append(tf.strings.to_hash_bucket_fast(columns[f.name], f.buckets) + offset)
            offset += f.buckets
        return tf.stack(ids, axis=1)

    @classmethod
    def rows(cls, spec, features, transform):
        return sum(f.buckets for f in features)


def make_spec(tasks):
    return DatasetSpec(
        "toy",
        features=(Word("title", 7), Hour("hour"), Numeric("price")),
        tasks=tuple(BinaryTask(task, task, positive="1") for task in tasks),
    )


class Rows:
    """Rows whose hours are 0, 6, 12, 18, again and again."""

    def __init__(self, tasks, rows=8):
        self.spec, self._rows = make_spec(tasks), rows

    def shards(self, split):
        return [(split, self._rows)]

    def read(self, shard):
        split, rows = shard
        number = np.arange(rows)
        columns = {
            "title": np.array([f"t{i % 3}" for i in number], object),
            "hour": 6.0 * (number % 4),
            "price": 1.0 * number,
            "buy": number % 2,
        }
        yield Block(columns, f"toy {split} rows", number + 1, "row")

    def estimated_rows(self, split):
        return self._rows


@pytest.fixture(scope="module", autouse=True)
def kinds():
    """Other tests list all kinds, so these are registered for this module only."""
    FEATURES.register("toy_hours", Hour)
    FEATURES.register("toy_words", Word)
    options = {"rows": Option(int, "how many")}
    DATASETS.register("toy", DataSet("toy", make_spec, Rows, ("buy",), options=options))
    yield
    for registry, name in ((FEATURES, "toy_hours"), (FEATURES, "toy_words"), (DATASETS, "toy")):
        registry.unregister(name)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(open_source("toy", rows=12), str(tmp_path_factory.mktemp("toy") / "data"))


def test_a_spec_has_the_kind_in_python_yaml_and_json():
    spec = make_spec(["buy"])
    assert spec.feature_names == ("price", "hour", "title")
    assert DatasetSpec.from_json(spec.to_json()) == spec
    text = """\
name: toy
numeric: [price]
toy_hours: [hour]
toy_words: [{name: title, buckets: 7}]
tasks: [{name: buy, label: buy, positive: 1}]
"""
    assert parse(text, "toy.yaml") == spec
    with pytest.raises(InputError, match=r"line 3: 'hour': period must be 1 or more, not 0"):
        parse(text.replace("[hour]", "[{name: hour, period: 0}]"), "toy.yaml")


def test_kinds_without_features_change_no_fingerprint():
    spec = DatasetSpec("n", (Numeric("x"),), (BinaryTask("t", "y", positive="1"),))
    assert "toy" not in spec.features_json()


def test_the_rows_are_packed(data):
    assert data.inputs == (
        InputShape("numeric", 1),
        InputShape("toy_hours", 2),
        InputShape("toy_words", 1, 7),
    )
    [batch] = tf.data.TFRecordDataset(data.files("train")).batch(99).map(data.parse)
    order = np.argsort(batch["numeric"][:, 0])
    hours = batch["toy_hours"].numpy()[order]
    np.testing.assert_allclose(hours[:4], [[0, 1], [1, 0], [0, -1], [-1, 0]], atol=1e-6)
    ids = tf.strings.to_hash_bucket_fast(["t0", "t1", "t2"], 7).numpy()
    assert batch["toy_words"].numpy()[order][:3, 0].tolist() == ids.tolist()
    assert {of.kind: of.rows for of in data.inputs} == {
        "numeric": 0,
        "toy_hours": 0,
        "toy_words": 7,
    }


def test_the_graph_takes_the_raw_columns(data):
    raw = raw_feature_spec(data.spec)
    assert {name: of.dtype for name, of in raw.items()} == {
        "title": tf.string,
        "price": tf.float32,
        "hour": tf.float32,
    }
    columns = {"title": tf.constant(["t1"]), "price": [5.5], "hour": [6.0]}
    packed = Preprocessing(data.transform_dir)({k: tf.constant(v) for k, v in columns.items()})
    np.testing.assert_allclose(packed["toy_hours"], [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(packed["numeric"], [[0.5]])


def test_checks_and_tables_include_the_kind(data):
    checks = DataChecks(data)
    assert isinstance(checks.warnings(), list)
    table = {row["feature"]: row for row in make_feature_rows(data, checks)}
    assert table["hour"]["kind"] == "toy_hours"
    assert table["title"]["distinct"] == "3 / 3 / 3"


def test_a_model_gets_the_shapes(data):
    layers = feature_layers(data.inputs, Embedding(4))
    assert layers["numeric"] is layers["toy_hours"] is None
    assert layers["toy_words"](tf.constant([[3]], tf.int64)).shape == (1, 4)
    assert layers["toy_words"].name == "toy_words"
    assert input_width(data.inputs, 4) == 1 + 2 + 4
    assert make_zeros(data.inputs, 2)["toy_words"].numpy().tolist() == [[0], [0]]


def test_the_card_describes_the_kind(data):
    transform = tft.TFTransformOutput(data.transform_dir)
    for kind, features in data.spec.by_kind().items():
        for domain in kind.domains(data.spec, features, transform):
            assert kind.describe_domain(domain)


def test_the_data_set_has_a_name_and_options():
    assert make_built_in_spec("toy") == make_spec(["buy"])
    with pytest.raises(InputError, match="data set 'toy' does not take data_dir; it takes rows"):
        open_source("toy", data_dir="d")


def test_a_section_cannot_have_a_reserved_name():
    with pytest.raises(ValueError, match="a reserved name"):
        type("Bad", (Feature,), {"section": "weight"})
