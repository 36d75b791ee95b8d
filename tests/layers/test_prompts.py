import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import tensorflow as tf

from mptrec_tf.layers.prompts import InstanceQuery, TaskPrompts

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 7)).astype(np.float32)


def test_prompts_multiply_their_own_task_element_by_element():
    prompts = TaskPrompts(2)
    prompts.build((2, None, 3))
    prompts.prompts.assign([[1, 2, 3], [0, -1, 0.5]])
    specific = tf.constant([[[1.0, 1, 1], [2, 2, 2]], [[4.0, 4, 4], [6, 6, 6]]])
    np.testing.assert_array_equal(
        prompts(specific), [[[1, 2, 3], [2, 4, 6]], [[0, -4, 2], [0, -6, 3]]]
    )


def test_prompts_run_save_and_load(check_layer):
    specific = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    check_layer(TaskPrompts(2), specific, batch_axis=1, output_batch_axis=1)


def test_prompts_begin_as_standard_normal():
    prompts = TaskPrompts(10)
    prompts.build((10, None, 1000))
    values = prompts.prompts.numpy()
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05


def test_query_equals_plain_layer_normalisation():
    query = InstanceQuery(6)
    query.build(X.shape)
    for weight in query.weights:
        weight.assign(RNG.normal(size=weight.shape))
    u = query(X).numpy()
    assert u.shape == (5, 6)
    for b in range(5):
        v = np.maximum(X[b] @ query.hidden.numpy(), 0) @ query.output_kernel.numpy()
        normalised = (v - v.mean()) / np.sqrt(((v - v.mean()) ** 2).mean() + 1e-5)
        expected = normalised * query.scale.numpy() + query.shift.numpy()
        np.testing.assert_allclose(u[b], expected, rtol=1e-4, atol=1e-5)


def test_query_has_no_biases_and_half_the_width_inside():
    query = InstanceQuery(6)
    query.build(X.shape)
    assert [tuple(w.shape) for w in query.weights] == [(7, 3), (3, 6), (6,), (6,)]
    np.testing.assert_array_equal(query.scale, np.ones(6))
    np.testing.assert_array_equal(query.shift, np.zeros(6))
    # The query of a row of zeros is the shift, whatever U_1 and U_2 are.
    np.testing.assert_array_equal(query(tf.zeros([1, 7])), np.zeros((1, 6)))


def test_query_runs_saves_and_loads(check_layer):
    check_layer(InstanceQuery(6), X)
