import pytest


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A version of a model that doubles numbers: `a` is 2 * `x`."""
    import tensorflow as tf

    module = tf.Module()
    module.factor = tf.Variable(2.0)
    double = tf.function(
        lambda x: {"a": module.factor * x}, input_signature=[tf.TensorSpec([None], name="x")]
    )
    path = tmp_path_factory.mktemp("small") / "1"
    tf.saved_model.save(module, str(path), signatures={"serving_default": double})
    return path


@pytest.fixture(scope="session")
def columns(block, model):
    """The raw columns of 20 rows."""
    return {name: block.columns[name][:20] for name in model.column_types}


@pytest.fixture(scope="session")
def expected(block, slice_rows, model):
    """The model's predictions for these rows."""
    return model.predict(slice_rows(block, 0, 20))
