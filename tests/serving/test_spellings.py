"""All spellings and types of a value get the same prediction: prepared, exported and served."""

import csv
import dataclasses
import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.prepared_tables import make_feature_rows
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import export
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate, select_evaluated_tasks
from mptrec_tf.keras import keras
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.training.configurations import PretrainingConfig

SPEC = DatasetSpec(
    name="shop",
    features=(
        Categorical("user"),
        Categorical("city"),
        Categorical("code", exact=True),
        Categorical("price", min_count=2),
        Categorical("shop", hash_buckets=50),
        Numeric("price", "log"),
        Numeric("items"),
    ),
    tasks=(BinaryTask("buy", "bought", positive="1"), BinaryTask("stay", "seconds", above=30)),
)
INTEGERS = ("user", "price", "items", "shop", "bought", "seconds")
CITIES, CODES = ("Bern", "true", "Zürich", "NA", ""), ("x", " x", "1", "1.0")
COUNTS = {"train": 120, "validation": 40, "test": 40}


def make_rows(split):
    chosen = np.random.default_rng(SPLITS.index(split))
    return [
        {
            "user": int(chosen.integers(8)) + (100 if split == "test" and row % 8 else 0),
            "city": CITIES[row % 5],
            "code": CODES[row % 4],
            "price": int(chosen.choice([0, 0, 0, 5, 12, 100 + row])),
            "items": int(chosen.integers(10)),
            "shop": int(chosen.integers(1000)),
            "bought": row % 3 % 2,
            "seconds": row,
        }
        for row in range(COUNTS[split])
    ]


def example(values):
    """A tf.Example: whole numbers as int64, other numbers as float, text as bytes."""
    made = tf.train.Example()
    for name, value in values.items():
        feature = made.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        elif isinstance(value, float):
            feature.float_list.value.append(value)
        else:
            feature.int64_list.value.append(value)
    return made.SerializeToString()


def as_csv(rows):
    # Quoted: spaces beside a delimiter would belong to CSV.
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same rows as tf.Examples whose numbers are int64, and as CSV."""
    folder = tmp_path_factory.mktemp("spellings")
    for split in SPLITS:
        rows = make_rows(split)
        (folder / f"{split}.csv").write_text(as_csv(rows))
        with tf.io.TFRecordWriter(f"{folder}/{split}.tfrecord") as writer:
            for row in rows:
                writer.write(example(row))
    return folder


def source(folder, ending):
    return Tabular(SPEC, {split: [f"{folder}/{split}.{ending}"] for split in SPLITS})


@pytest.fixture(scope="module")
def of_examples(folder):
    return prepare(source(folder, "tfrecord"), f"{folder}/of_examples")


@pytest.fixture(scope="module")
def of_csv(folder):
    return prepare(source(folder, "csv"), f"{folder}/of_csv")


@pytest.fixture(scope="module")
def model(of_examples, folder):
    keras.utils.set_random_seed(1)
    shape = {"expert_units": (8, 4), "tower_units": (4,)}
    config = PretrainingConfig(("buy", "stay"), shape=shape)
    (folder / "backbone").mkdir()
    backbone = MPTRec(config.make_shape(of_examples))
    spec, transform_dir = of_examples.spec, of_examples.transform_dir
    save_backbone(f"{folder}/backbone", backbone, spec, transform_dir, {"history": []})
    path, _ = export(load_backbone(f"{folder}/backbone"), [], f"{folder}/model")
    return LoadedModel(path)


@pytest.fixture(scope="module")
def signatures(model):
    return tf.saved_model.load(model.path).signatures


def packed(data, split):
    [batch] = tf.data.TFRecordDataset(data.files(split)).batch(1000).map(data.parse)
    columns = {name: column.numpy() for name, column in batch.items()}
    order = np.lexsort(np.concatenate([c.T for c in columns.values()]))
    return {name: column[order] for name, column in columns.items()}


def test_examples_and_csv_are_prepared_alike(of_examples, of_csv):
    for split in SPLITS:
        some, others = packed(of_examples, split), packed(of_csv, split)
        for name in some:
            np.testing.assert_array_equal(some[name], others[name])
    assert of_examples.inputs == of_csv.inputs
    types = dict.fromkeys(("user", "shop", "price", "items"), "int64")
    assert of_examples.spec == dataclasses.replace(SPEC, example_types=types)
    assert of_csv.spec == SPEC


def test_what_preparation_knows_of_features(of_examples):
    """Seven of eight test rows are of users that the training rows do not have."""
    checks = DataChecks(of_examples)
    assert {split: checks.unknown[split]["user"] for split in SPLITS} == {
        "train": 0.0,
        "validation": 0.0,
        "test": 0.875,
    }
    [warning] = [w for w in checks.warnings() if "'user'" in w]
    assert warning.startswith("column 'user': 88% of the test rows have values that the training")
    assert checks.missing_ids == {"categorical": 1, "numeric": 0}  # of city: "NA" and ""
    table = {row["feature"]: row for row in make_feature_rows(of_examples, checks)}
    assert table["city"]["missing"] == "40.0% / 40.0% / 40.0%"
    assert table["city"]["distinct"] == "3 / 3 / 3"
    assert table["code"]["distinct"] == "4 / 4 / 4"
    assert table["price"]["kind"] == "category and number"


def to_numpy(outputs):
    return {name: outputs[name].numpy() for name in ("buy", "stay")}


def predict_every_way(model, signatures, rows, folder):
    """Returns predictions for rows by every kind of request, and the representations."""
    types = raw_feature_spec(SPEC)
    columns = {name: [row[name] for row in rows] for name in types}
    of_type = {
        name: [str(v) if field.dtype == tf.string else float(v) for v in columns[name]]
        for name, field in types.items()
    }
    tensors = {name: tf.constant(of_type[name], field.dtype) for name, field in types.items()}
    examples = tf.constant([example(row) for row in rows])
    arrays = {name: np.array(list(map(str, values)), object) for name, values in columns.items()}
    (folder / "rows.csv").write_text(as_csv(rows))
    [block] = read_file(f"{folder}/rows.csv", SPEC.text_format)
    with tf.io.TFRecordWriter(f"{folder}/rows.tfrecord") as writer:
        for row in rows:
            writer.write(example(row))
    [records] = read_file(f"{folder}/rows.tfrecord", SPEC.text_format)
    return {
        "columns": to_numpy(signatures["columns"](**tensors)),
        "serving_default": to_numpy(signatures["serving_default"](examples=examples)),
        "a block": model.predict(Block(arrays, "rows", np.arange(len(rows)))),
        "CSV": model.predict(block),
        "TFRecord": model.predict(records),
    }, signatures["encode"](examples=examples)["x"].numpy()


ROW = {"user": "3", "city": "true", "code": "1", "price": "5", "items": "4", "shop": "7"}
SAME = [
    {},
    *({"user": v} for v in (" 3", "3.0", "+3", "3.", "3.0E0", "3\u00a0", 3, 3.0)),
    *({"city": v} for v in ("TRUE", "True", " true ", "true\n")),
    *({"shop": v} for v in (" 7", "7.00", 7, 7.0)),
    *({"price": v} for v in ("5.0", " 5", "5e0", 5, 5.0)),
    *({"items": v} for v in ("4.0", 4, 4.0)),
]


def test_spellings_of_one_value_get_one_prediction(model, signatures, tmp_path):
    outputs, x = predict_every_way(model, signatures, [ROW | other for other in SAME], tmp_path)
    for kind, predictions in outputs.items():
        for task, values in predictions.items():
            np.testing.assert_array_equal(values, values[0], f"{kind}, {task}")
            np.testing.assert_allclose(values, outputs["columns"][task], rtol=1e-6)
    np.testing.assert_array_equal(x, np.repeat(x[:1], len(x), axis=0))


def test_a_missing_value_is_one_value_of_its_own(model, signatures, tmp_path):
    missing = ["", "NA", "nan", "NULL", " ", "?", "\\N", "None"]
    rows = [ROW | {"city": v} for v in (*missing, "Bern", "unknown", "Unknown")]
    for predictions in predict_every_way(model, signatures, rows, tmp_path)[0].values():
        values = predictions["buy"]
        assert len(set(values[: len(missing)])) == 1
        assert values[-1] == values[-2]
        assert len({values[0], values[-3], values[-1]}) == 3


def test_exact_text_is_distinguished(model, signatures, tmp_path):
    rows = [ROW | {"code": v} for v in ("x", " x", "1", "1.0", "unknown", "NA", "")]
    for kind, predictions in predict_every_way(model, signatures, rows, tmp_path)[0].items():
        values = predictions["buy"]
        assert len(set(values[:5])) == 5, kind
        assert len(set(values[4:])) == 1, kind


def test_a_number_that_is_a_category_is_distinguished(model, signatures, of_examples, tmp_path):
    """0 has an id of its own, 1 is a rare value, and both are numbers."""
    rows = [ROW | {"price": v} for v in ("0", "-0.0", "1", "1.5")]
    outputs, x = predict_every_way(model, signatures, rows, tmp_path)
    for predictions in outputs.values():
        assert predictions["buy"][0] == predictions["buy"][1]
        assert len(set(predictions["buy"])) == 3
    assert len(np.unique(x, axis=0)) == 3


def test_int64_records_are_served_as_they_were_trained(model, signatures, folder):
    records = tf.data.TFRecordDataset(f"{folder}/test.tfrecord").batch(100).get_single_element()
    served = to_numpy(signatures["serving_default"](examples=records))
    for ending in ("tfrecord", "csv"):
        [block] = read_file(f"{folder}/test.{ending}", SPEC.text_format)
        for task, values in model.predict(block).items():
            np.testing.assert_allclose(values, served[task], rtol=1e-6)
    assert len(set(served["buy"])) > 20


def test_a_record_that_lacks_a_feature_is_rejected(signatures):
    rows = [example({k: v for k, v in ROW.items() if k != "items"})]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)exactly one value.*items"):
        signatures["serving_default"](examples=tf.constant(rows))


# Evaluation.


def evaluate_csv(model, folder, **changes):
    spec = dataclasses.replace(SPEC, **changes)
    return evaluate(model, Tabular(spec, {"test": [f"{folder}/test.csv"]}), "test")


def test_csv_and_examples_are_evaluated_alike(model, folder):
    metrics = evaluate_csv(model, folder)
    assert metrics["stay"]["positives"] == 9  # 31 to 39
    assert metrics["buy"]["positives"] == 13
    of_examples = evaluate(model, source(folder, "tfrecord"), "test")
    for task, values in metrics.items():
        assert of_examples[task] == pytest.approx(values, rel=1e-5)


def test_the_order_of_label_values_does_not_matter(model, folder):
    both = BinaryTask("buy", "bought", positive=("1", "7"))
    spec = dataclasses.replace(model.spec, tasks=(both, SPEC.tasks[1]))
    reordered = dataclasses.replace(both, positive=("7", "1"))
    other = dataclasses.replace(spec, tasks=(reordered, SPEC.tasks[1]))
    chosen = select_evaluated_tasks(
        SimpleNamespace(spec=spec, path="m"), SimpleNamespace(spec=other)
    )
    assert [task.name for task in chosen] == ["buy", "stay"]


def test_fewer_tasks_are_evaluated_alone(model, folder):
    metrics = evaluate_csv(model, folder, tasks=SPEC.tasks[1:])
    assert metrics == {"stay": evaluate_csv(model, folder)["stay"]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"features": (*SPEC.features, Numeric("height"))},
            r"^data set 'shop' has feature 'height', which the model in .* lacks: evaluate with",
        ),
        (
            {"features": SPEC.features[1:]},
            r"^the model in .* has feature 'user', which data set 'shop' lacks: evaluate with",
        ),
        (
            {"features": (*SPEC.features[:-1], Categorical("items"))},
            r"^column 'items' is text in one and a number in the other of data set 'shop' and the",
        ),
        (
            {"tasks": (BinaryTask("buy", "bought", positive="0"), SPEC.tasks[1])},
            r"^data set 'shop' defines buy in another way than the model in .* was trained with; ",
        ),
        ({"missing_values": ("none",)}, "defines missing_values in another way than the model"),
        (
            {"tasks": (BinaryTask("sell", "bought", positive="1"),)},
            r"^data set 'shop' has labels of sell, and the model in .* predicts buy, stay: th",
        ),
    ],
)
def test_another_data_set_is_rejected(model, folder, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate_csv(model, folder, **changes)
