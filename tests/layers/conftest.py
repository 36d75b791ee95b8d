"""One check that every layer passes: run, round-trip the config, save, load, compare."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.keras import keras


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(7)


@pytest.fixture
def check_layer(tmp_path):
    """Runs a layer on `inputs`, alone and in a saved model; returns its output as NumPy.

    `inputs` have the batch on `batch_axis`; so has the output on `output_batch_axis`.
    """

    def check(layer, inputs, batch_axis=0, output_batch_axis=0):
        inputs = tf.constant(inputs)
        output = layer(inputs).numpy()
        assert np.isfinite(output).all()

        # A batch of size 1 has every axis, and the same output for its row.
        one = layer(tf.gather(inputs, [1], axis=batch_axis)).numpy()
        np.testing.assert_allclose(one, np.take(output, [1], output_batch_axis), rtol=1e-5)

        # A copy by its config, through JSON as Keras writes it, has the weights' shapes and, with
        # the weights' values, the output bit for bit.
        config = layer.get_config()
        copy = type(layer).from_config(json.loads(json.dumps(config)))
        assert copy.get_config() == config
        copy(inputs)
        copy.set_weights(layer.get_weights())
        np.testing.assert_array_equal(copy(inputs), output)

        path = tf.train.Checkpoint(layer=layer).write(f"{tmp_path}/checkpoint")
        restored = type(layer).from_config(config)
        restored(inputs)
        tf.train.Checkpoint(layer=restored).read(path).assert_consumed()
        np.testing.assert_array_equal(restored(inputs), output)

        # In a model whose batch size is unknown.
        shape = list(inputs.shape)
        shape[batch_axis] = None
        symbolic = keras.Input(batch_size=shape[0], shape=shape[1:], dtype=inputs.dtype)
        model = keras.Model(symbolic, layer(symbolic))
        np.testing.assert_allclose(model(inputs), output, rtol=1e-6)
        model.save(f"{tmp_path}/model.keras")
        loaded = keras.models.load_model(f"{tmp_path}/model.keras")
        np.testing.assert_array_equal(loaded(inputs), model(inputs))
        return output

    return check
