import dataclasses
import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import Layout, Moments, Statistics
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.weights import named_weights


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("fusion", ["full", "share_only", "specific_only"])
def test_equals_a_loop_over_rows_and_tasks(backbone, batch, plain, fusion, rows):
    model, features = backbone(fusion=fusion), batch(rows)
    encoded = model.encode(features)
    outputs = model.predict_tasks(encoded)
    expected = plain(model, features)
    for name, actual in (
        ("x", encoded.x),
        ("shared", encoded.shared[0]),
        ("specific", encoded.specific),
    ):
        np.testing.assert_allclose(actual, getattr(expected, name), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(encoded.ids, features["categorical"])
    for name in ("logits", "shared_logits", "gates"):
        np.testing.assert_allclose(
            getattr(outputs, name), getattr(expected, name), rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(model(features), expected.logits.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 6])
def test_shapes(backbone, batch, rows):
    model = backbone()
    encoded = model.encode(batch(rows))
    outputs = model.predict_tasks(encoded)
    assert model.input_width == 3 * 2 + 2
    assert model.shape.width == 4
    assert model.layout == Layout(
        input_width=8, shared=1, specific=3, width=4, tasks=3, ids=3, experts=4, expert_units=(5, 4)
    )
    assert encoded.x.shape == (rows, 8)
    assert encoded.ids.shape == (rows, 3)
    assert encoded.ids.dtype == tf.int64
    assert encoded.shared.shape == (1, rows, 4)
    assert encoded.specific.shape == (3, rows, 4)
    assert outputs.logits.shape == outputs.shared_logits.shape == (3, rows)
    assert outputs.gates.shape == (3, rows, 2)
    assert model(batch(rows)).shape == (rows, 3)


def test_one_task(backbone, batch, plain):
    model = backbone(tasks=["click"])
    logits = model(batch(1, 1))
    assert logits.shape == (1, 1)
    np.testing.assert_allclose(logits, plain(model, batch(1, 1)).logits, rtol=1e-5)


@pytest.mark.parametrize("without", ["categorical", "numeric"])
def test_one_kind_of_features_alone(backbone, batch, plain, without):
    inputs = tuple(of for of in backbone().shape.inputs if of.kind != without)
    model = backbone(inputs=inputs)
    features = {k: v for k, v in batch().items() if k != without}
    expected = plain(model, features)
    encoded = model.encode(features)
    np.testing.assert_allclose(
        model.predict_tasks(encoded).logits, expected.logits, rtol=1e-4, atol=1e-5
    )
    assert expected.x.shape[1] == model.layout.input_width
    assert encoded.ids.shape == (6, model.layout.ids) == (6, 0 if without == "categorical" else 3)


def test_share_only_predicts_from_what_is_shared(backbone, batch):
    model = backbone(fusion="share_only")
    outputs = model.predict_tasks(model.encode(batch()))
    np.testing.assert_allclose(outputs.logits, outputs.shared_logits, rtol=1e-6)


def change(variable, index, by=1.0):
    value = variable.numpy()
    value[index] += by
    variable.assign(value)


def test_specific_only_ignores_what_is_shared(backbone, batch):
    model = backbone(fusion="specific_only")
    before = model(batch()).numpy()
    change(model.experts.biases[-1], 0)  # the shared expert
    np.testing.assert_array_equal(model(batch()), before)


def test_a_task_depends_on_its_own_parts_and_on_what_is_shared(backbone, batch):
    model = backbone()
    before = model(batch()).numpy()
    change(model.experts.biases[-1], 2)  # of the second task
    change(model.prompts.prompts, 1)
    change(model.towers.biases[-1], 1)
    change(model.gates.kernel, np.s_[:, 2:3])
    after = model(batch()).numpy()
    np.testing.assert_array_equal(after[:, [0, 2]], before[:, [0, 2]])
    assert (after[:, 1] != before[:, 1]).all()
    change(model.experts.biases[-1], 0)
    assert (model(batch()).numpy() != after).any(axis=0).all()


def test_permuted_tasks_permute_the_outputs(backbone, batch):
    order = [2, 0, 1]
    model = backbone()
    permuted = backbone(tasks=[model.shape.tasks[k] for k in order])
    for name, weight in model.named_weights().items():
        value = weight.numpy()
        if name.startswith("experts/"):
            value = value[[0, *(1 + k for k in order)]]
        elif name == "gates/kernel":
            value = value.reshape(-1, 3, 2)[:, order].reshape(-1, 6)
        elif name.split("/")[0] in ("prompts", "towers", "standard_specific", "standard_logits"):
            value = value[order]
        permuted.named_weights()[name].assign(value)
    np.testing.assert_allclose(permuted(batch()), model(batch()).numpy()[:, order], rtol=1e-5)


def test_rows_do_not_depend_on_one_another(backbone, batch):
    model, features = backbone(), batch(6)
    together = model(features).numpy()
    for b in range(6):
        alone = model({k: v[b : b + 1] for k, v in features.items()})
        np.testing.assert_allclose(alone[0], together[b], rtol=1e-5)


def test_shape_survives_json(shape):
    one = shape(fusion="share_only", l2_embedding=0.25, expert_dropout=0.1)
    plain = json.loads(json.dumps(dataclasses.asdict(one)))
    assert plain["expert_units"] == [5, 4]
    assert MODELS.get("mptrec").shape_from_plain(plain) == one


def test_checkpoint_saves_and_loads(backbone, shape, batch, tmp_path):
    model = backbone(expert_dropout=0.2)
    path = tf.train.Checkpoint(model=model).write(f"{tmp_path}/checkpoint")
    loaded = MPTRec(shape(expert_dropout=0.2))
    tf.train.Checkpoint(model=loaded).read(path).assert_consumed()
    np.testing.assert_array_equal(loaded(batch()), model(batch()))
    np.testing.assert_array_equal(  # the generator of dropout included
        loaded(batch(), training=True), model(batch(), training=True)
    )


def test_dropout_in_training_alone(backbone, batch):
    model = backbone(expert_dropout=0.5, tower_dropout=0.5)
    plain = model(batch()).numpy()
    np.testing.assert_array_equal(model(batch(), training=False), plain)
    assert not np.array_equal(model(batch(), training=True), plain)
    # Nor inside a traced function without the argument `training`.
    encode = tf.function(model.encode)
    np.testing.assert_allclose(encode(batch()).shared, model.encode(batch()).shared, rtol=1e-6)


def test_names_of_weights_do_not_depend_on_the_process(backbone):
    names = [
        "embedding/table",
        "experts/bias_0",
        "experts/bias_1",
        "experts/kernel_0",
        "experts/kernel_1",
        "gates/kernel",
        "prompts/prompts",
        "standard_logits/mean",
        "standard_logits/scale",
        "standard_shared/mean",
        "standard_shared/scale",
        "standard_specific/mean",
        "standard_specific/scale",
        "standard_x/mean",
        "standard_x/scale",
        "towers/bias_0",
        "towers/bias_1",
        "towers/kernel_0",
        "towers/kernel_1",
    ]
    for model in (backbone(), backbone()):
        assert list(model.named_weights()) == names


def test_names_cover_every_weight_frozen_or_not(backbone):
    model = backbone(expert_dropout=0.1)
    named = model.named_weights()
    assert {id(w) for w in named.values()} == {id(w) for w in model.weights}
    model.trainable = False
    assert {k: id(w) for k, w in model.named_weights().items()} == {
        k: id(w) for k, w in named.items()
    }


def test_two_weights_of_one_name_are_rejected():
    first, second = keras.layers.Dense(1, name="same"), keras.layers.Dense(1, name="same")
    model = keras.Model()
    model.parts = [first, second]
    for layer in model.parts:
        layer.build((None, 2))
    with pytest.raises(ValueError, match="Received: 'same/kernel'"):
        named_weights(model)


def test_freezing_and_unfreezing(backbone, batch):
    model = backbone()
    model(batch())
    count = len(model.trainable_weights)
    model.trainable = False
    model(batch())
    assert model.trainable_weights == []
    assert model.losses == []
    model.trainable = True
    model(batch())
    assert len(model.trainable_weights) == count == len(model.parameters)
    assert len(model.losses) == 3


def statistics(rng, layout):
    k, h = layout.tasks, layout.width
    sizes = {"x": layout.input_width, "shared": (1, h), "specific": (k, h), "logits": k}
    mean = Moments(**{name: rng.normal(size=size) for name, size in sizes.items()})
    deviation = Moments(**{name: 0.2 + rng.random(size) for name, size in sizes.items()})
    return Statistics(mean, deviation)


def test_standardised_values_by_the_equations(backbone, batch):
    model = backbone()
    mean, deviation = statistics(np.random.default_rng(11), model.layout)
    deviation.x[0], mean.x[0] = 0.01, 3.0  # beyond the limit
    model.set_statistics(Statistics(mean, deviation))
    inputs = model.head_inputs(model.encode(batch()))
    encoded, standard = inputs.encoded, inputs.standard
    for b in range(6):
        x = np.clip((encoded.x.numpy()[b] - mean.x) / deviation.x, -5, 5)
        assert x[0] == -5
        np.testing.assert_allclose(standard.x[b], x, rtol=1e-5, atol=1e-6)
        h_0 = (encoded.shared.numpy()[0, b] - mean.shared[0]) / deviation.shared[0]
        np.testing.assert_allclose(standard.shared[b], h_0, rtol=1e-5, atol=1e-6)
        h = (encoded.specific.numpy()[:, b] - mean.specific) / deviation.specific
        np.testing.assert_allclose(standard.specific[b], h.mean(0), rtol=1e-5, atol=1e-6)
        old = np.clip((inputs.logits.numpy()[:, b] - mean.logits) / deviation.logits, -5, 5)
        np.testing.assert_allclose(standard.logits[b], old, rtol=1e-5, atol=1e-6)


def test_a_dimension_that_never_changes_says_nothing(backbone, batch):
    model = backbone()
    mean, deviation = statistics(np.random.default_rng(3), model.layout)
    deviation = deviation._replace(x=0 * deviation.x, logits=np.full(3, 9e-7))
    model.set_statistics(Statistics(mean, deviation))
    standard = model.head_inputs(model.encode(batch())).standard
    np.testing.assert_array_equal(standard.x, np.zeros_like(standard.x))
    np.testing.assert_array_equal(standard.logits, np.zeros_like(standard.logits))
    assert np.all(standard.shared != 0)


def test_statistics_change_no_answer_and_are_no_parameters(backbone, batch):
    model = backbone()
    before = model(batch()).numpy()
    model.set_statistics(statistics(np.random.default_rng(1), model.layout))
    np.testing.assert_array_equal(model(batch()), before)
    names = {name for name, w in model.named_weights().items() if not in_list(w, model.parameters)}
    assert names == {
        f"standard_{of}/{what}"
        for of in ("x", "shared", "specific", "logits")
        for what in ("mean", "scale")
    }
    assert {id(w) for w in model.trainable_weights} == {id(w) for w in model.parameters}


def test_head_inputs_are_what_was_encoded_beside_logits_and_prompts(backbone, batch, plain):
    model = backbone()
    encoded = model.encode(batch())
    inputs = model.head_inputs(encoded)
    assert inputs.encoded is encoded
    assert not set(inputs._fields) & set(encoded._fields)  # neither passes for the other
    np.testing.assert_allclose(inputs.logits, plain(model, batch()).logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(inputs.prompts, model.named_weights()["prompts/prompts"])
    # Logits that are known already are taken as they are.
    known = tf.zeros_like(inputs.logits)
    assert model.head_inputs(encoded, known).logits is known


def test_what_the_signature_encode_serves(backbone, batch):
    model = backbone()
    encoded = model.encode(batch())
    served = model.representations(encoded)
    assert set(served) == {"x", "shared", "specific"}
    np.testing.assert_array_equal(served["x"], encoded.x)
    np.testing.assert_array_equal(served["shared"], encoded.shared[0])
    for k in range(3):
        np.testing.assert_array_equal(served["specific"][:, k], encoded.specific[k])


def in_list(weight, weights):
    return any(weight is other for other in weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ()}, "tasks should name at least one task. Received none"),
        ({"fusion": "half"}, "fusion should be one of .* Received: 'half'"),
    ],
)
def test_wrong_arguments_are_named(shape, changes, message):
    with pytest.raises(ValueError, match=message):
        shape(**changes)


def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match=r"l2_over should be .* Received: 'rows'"):
        MPTRec(shape(l2_embedding_over="rows"))
    with pytest.raises(ValueError, match=r"dropout should be in \[0, 1\). Received: 1.5"):
        MPTRec(shape(expert_dropout=1.5))
    with pytest.raises(ValueError, match=r"units should be positive. Received: .*units=\(0,\)"):
        MPTRec(shape(tower_units=(0,)))
