"""Every kind of model is exported by the same functions."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.export.serving_model import export
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.keras import keras
from mptrec_tf.models.registry import MODELS
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.statistics import compute_statistics

OLD = ("click", "like")


@pytest.fixture(scope="module", params=[name for name in MODELS.names() if name != "mptrec"])
def backbone(request, prepared_synthetic, tmp_path_factory):
    """A small backbone of a kind, as it begins."""
    folder = tmp_path_factory.mktemp(request.param)
    data = PreparedData(str(prepared_synthetic))
    keras.utils.set_random_seed(1)
    shape = {"expert_units": (12, 8), "tower_units": (4,)}
    config = PretrainingConfig(OLD, request.param, shape)
    model = MODELS.get(request.param).make(config.make_shape(data))
    model.set_statistics(compute_statistics(model, load_rows(data, "train", OLD)))
    save_backbone(str(folder), model, data.spec, data.transform_dir, {"history": []})
    return load_backbone(str(folder))


@pytest.fixture(scope="module")
def path(backbone, tmp_path_factory):
    return export(backbone, [], str(tmp_path_factory.mktemp("exported") / "m"))[0]


def test_it_is_served_with_its_preprocessing(backbone, path, prepared_synthetic):
    rows = load_rows(PreparedData(str(prepared_synthetic)), "test", OLD)
    expected = tf.sigmoid(backbone.model(rows.columns)).numpy()
    [block] = read_split(Synthetic({"test": 400}), "test")
    predictions = LoadedModel(path).predict(block)
    assert set(predictions) == set(OLD)
    for i, task in enumerate(OLD):  # Beam may write rows in another order
        np.testing.assert_allclose(np.sort(predictions[task]), np.sort(expected[:, i]), rtol=1e-5)


def test_what_it_has_is_encoded(backbone, path):
    spec, layout = backbone.spec, backbone.model.layout
    example = tf.train.Example()
    for feature in spec.categorical:
        example.features.feature[feature.name].bytes_list.value.append(b"1")
    for feature in spec.numeric:
        example.features.feature[feature.name].float_list.value.append(1.0)
    examples = tf.constant([example.SerializeToString()] * 3)
    encoded = tf.saved_model.load(path).signatures["encode"](examples=examples)
    shapes = {name: tuple(value.shape) for name, value in encoded.items()}
    expected = {"x": (3, layout.input_width)}
    if layout.shared:
        expected["shared"] = (3, 8) if layout.shared == 1 else (3, layout.shared, 8)
    if layout.specific:
        expected["specific"] = (3, 2, 8)
    assert shapes == expected
    assert MODELS.get(backbone.model.kind).offers - {"experts"} == shapes.keys() - {"x"}


def test_the_next_version_can_be_made_of_it(backbone, path):
    stored, packages = load_parts(path.removesuffix("/1"))
    assert packages == []
    assert stored.fingerprint == backbone.fingerprint
    assert stored.model.kind == backbone.model.kind
    weights = stored.model.named_weights()
    for name, weight in backbone.model.named_weights().items():
        np.testing.assert_array_equal(weights[name], weight)
