import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank, TowerBank, dropout

DEPTHS = [(4,), (5, 4), (3, 6, 2)]


def random(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def randomise(bank):
    """Biases begin at zero, which would hide a wrong one."""
    for i, weight in enumerate(bank.weights):
        weight.assign(np.random.default_rng(i).normal(size=weight.shape))


def plain_network(bank, e, x, masks=None, linear_end=False):
    """Network `e` of a bank as a loop over its layers."""
    layers = len(bank.kernels)
    for i in range(layers):
        x = x @ bank.kernels[i].numpy()[e] + bank.biases[i].numpy()[e, 0]
        if not (linear_end and i == layers - 1):
            x = np.maximum(x, 0) * (masks[i][e] if masks else 1)
    return x


def masks_of(bank, batch, units):
    """The masks that the bank's next call will draw: 0 or 1 / (1 - rate)."""
    generator = tf.random.Generator.from_state(
        tf.identity(bank.generator.state), bank.generator.algorithm
    )
    return [
        dropout(tf.ones([bank.count, batch, out]), bank.dropout, generator).numpy() for out in units
    ]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("units", DEPTHS)
def test_experts_equal_a_loop_over_experts(units, batch):
    bank, x = ExpertBank(3, units), random(batch, 5)
    bank.build(x.shape)
    randomise(bank)
    h = bank(x).numpy()
    assert h.shape == (3, batch, units[-1])
    for e in range(3):
        np.testing.assert_allclose(h[e], plain_network(bank, e, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("units", DEPTHS)
def test_experts_on_an_input_of_their_own_equal_a_loop_over_experts(units, batch):
    bank, x = ExpertBank(3, units), random(3, batch, 5)
    bank.build(x.shape)
    randomise(bank)
    h = bank(x).numpy()
    assert h.shape == (3, batch, units[-1])
    for e in range(3):
        np.testing.assert_allclose(h[e], plain_network(bank, e, x[e]), rtol=1e-4, atol=1e-5)
    # The same weights on one input for all.
    np.testing.assert_allclose(bank(np.stack([x[0]] * 3)), bank(x[0]), rtol=1e-4, atol=1e-5)


def test_an_expert_sees_its_own_input_alone():
    bank, x = ExpertBank(3, (4, 3)), random(3, 7, 5)
    before = bank(x).numpy()
    x[1] += 1
    after = bank(x).numpy()
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (after[1] != before[1]).any()


@pytest.mark.parametrize("units", DEPTHS)
def test_dropout_of_experts_on_inputs_of_their_own(units):
    bank, x = ExpertBank(3, units, dropout=0.4), random(3, 7, 5)
    bank.build(x.shape)
    randomise(bank)
    masks = masks_of(bank, 7, units)
    h = bank(x, training=True).numpy()
    for e in range(3):
        np.testing.assert_allclose(h[e], plain_network(bank, e, x[e], masks), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("units", DEPTHS)
def test_towers_equal_a_loop_over_tasks(units, batch):
    bank, fused = TowerBank(3, units), random(3, batch, 5)
    bank.build(fused.shape)
    randomise(bank)
    logits = bank(fused).numpy()
    assert logits.shape == (3, batch)
    for t in range(3):
        expected = plain_network(bank, t, fused[t], linear_end=True)[:, 0]
        np.testing.assert_allclose(logits[t], expected, rtol=1e-4, atol=1e-4)
    assert (logits < 0).any() or batch == 1  # the logit itself is not rectified


def test_one_expert_by_hand():
    bank = ExpertBank(1, (2,))
    bank.build((None, 2))
    bank.kernels[0].assign([[[1, 2], [3, 4]]])
    bank.biases[0].assign([[[0.5, -20]]])
    # (1, 1) W = (4, 6); plus the bias (4.5, -14); rectified
    np.testing.assert_allclose(bank(tf.constant([[1.0, 1.0]])), [[[4.5, 0]]])


@pytest.mark.parametrize("make", [ExpertBank, TowerBank])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_runs_saves_and_loads(check_layer, make, rate):
    bank = make(2, (4, 3), dropout=rate, l2=0.1)
    if make is ExpertBank:
        assert check_layer(bank, random(6, 5), output_batch_axis=1).shape == (2, 6, 3)
        own = ExpertBank(2, (4, 3), dropout=rate, l2=0.1)
        output = check_layer(own, random(2, 6, 5), batch_axis=1, output_batch_axis=1)
        assert output.shape == (2, 6, 3)
    else:
        output = check_layer(bank, random(2, 6, 5), batch_axis=1, output_batch_axis=1)
        assert output.shape == (2, 6)


@pytest.mark.parametrize("units", DEPTHS)
def test_dropout_falls_on_every_layer_of_the_experts(units):
    bank, x = ExpertBank(3, units, dropout=0.4), random(7, 5)
    bank.build(x.shape)
    randomise(bank)
    masks = masks_of(bank, 7, units)
    h = bank(x, training=True).numpy()
    for e in range(3):
        np.testing.assert_allclose(h[e], plain_network(bank, e, x, masks), rtol=1e-4, atol=1e-5)
    assert not np.array_equal(masks[0][0], masks[0][1])  # experts drop units of their own


@pytest.mark.parametrize("units", DEPTHS)
def test_dropout_falls_on_hidden_layers_of_the_towers_alone(units):
    bank, fused = TowerBank(3, units, dropout=0.4), random(3, 7, 5)
    bank.build(fused.shape)
    randomise(bank)
    masks = masks_of(bank, 7, units)
    logits = bank(fused, training=True).numpy()
    for t in range(3):
        expected = plain_network(bank, t, fused[t], masks, linear_end=True)[:, 0]
        np.testing.assert_allclose(logits[t], expected, rtol=1e-4, atol=1e-4)


def test_dropout_preserves_the_mean_and_drops_its_rate():
    generator = tf.random.Generator.from_seed(1)
    dropped = dropout(tf.ones([200, 200]), 0.25, generator).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert abs((dropped == 0).mean() - 0.25) < 0.01


def test_dropout_differs_from_step_to_step_and_is_off_outside_of_training():
    bank, x = ExpertBank(2, (8,), dropout=0.5), random(20, 5)
    plain = bank(x, training=False).numpy()
    np.testing.assert_array_equal(bank(x), plain)
    first, second = bank(x, training=True).numpy(), bank(x, training=True).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, plain)


def test_dropout_goes_on_where_a_checkpoint_left_it(tmp_path):
    x = random(20, 5)
    bank = ExpertBank(2, (8,), dropout=0.5)
    bank(x, training=True)
    path = tf.train.Checkpoint(bank=bank).write(f"{tmp_path}/checkpoint")
    expected = bank(x, training=True).numpy()
    resumed = ExpertBank(2, (8,), dropout=0.5)
    resumed.build(x.shape)
    tf.train.Checkpoint(bank=resumed).read(path).assert_consumed()
    np.testing.assert_array_equal(resumed(x, training=True), expected)


@pytest.mark.parametrize("make", [ExpertBank, TowerBank])
def test_l2_of_kernels_and_not_of_biases(make):
    bank = make(2, (3, 2), l2=0.2)
    x = random(4, 5) if make is ExpertBank else random(2, 4, 5)
    bank.build(x.shape)
    randomise(bank)
    bank(x)
    squares = sum(float((kernel.numpy().astype(np.float64) ** 2).sum()) for kernel in bank.kernels)
    np.testing.assert_allclose(bank.losses, [0.2 / 2 * squares], rtol=1e-6)
    bank.trainable = False
    bank(x)
    assert bank.losses == []


def test_each_network_begins_as_a_dense_layer_would():
    bank = ExpertBank(50, (40,))
    bank.build((None, 20))
    kernel = bank.kernels[0].numpy()
    limit = np.sqrt(6 / (20 + 40))  # Glorot's, of one expert: their number is not part of it
    assert abs(kernel).max() <= limit
    np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)
    assert len({one.tobytes() for one in kernel}) == 50  # no two alike
    assert not bank.biases[0].numpy().any()


@pytest.mark.parametrize("make", [ExpertBank, TowerBank])
def test_same_seed_same_weights_and_same_dropout(make):
    def run(seed):
        keras.utils.set_random_seed(seed)
        bank = make(2, (6,), dropout=0.5)
        x = random(2, 6, 5) if make is TowerBank else random(6, 5)
        return bank(x, training=True).numpy()

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


@pytest.mark.parametrize("make", [ExpertBank, TowerBank])
def test_gradients_reach_their_own_network_alone(make):
    bank = make(3, (4, 3))
    x = random(5, 5) if make is ExpertBank else random(3, 5, 5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(bank(x)[1] ** 2)
    for gradient in tape.gradient(loss, bank.trainable_weights):
        assert np.abs(gradient[1]).sum() > 0
        assert not gradient[0].numpy().any()
        assert not gradient[2].numpy().any()


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ({"count": 0, "units": (4,)}, "count=0"),
        ({"count": 2, "units": ()}, r"units=\(\)"),
        ({"count": 2, "units": (4, 0)}, r"units=\(4, 0\)"),
        ({"count": 2, "units": (4,), "dropout": 1.0}, "1.0"),
        ({"count": 2, "units": (4,), "dropout": -0.1}, "-0.1"),
    ],
)
@pytest.mark.parametrize("make", [ExpertBank, TowerBank])
def test_wrong_arguments_are_named(make, arguments, received):
    with pytest.raises(ValueError, match=f"Received: .*{received}"):
        make(**arguments)


def test_rescaled_towers_return_scale_times_logit_plus_shift():
    bank, x = TowerBank(3, (5, 4)), random(3, 7, 6)
    bank.build(x.shape)
    randomise(bank)
    before = bank(x).numpy()
    scale, shift = np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.0, -1.0])
    bank.rescale(scale, shift)
    np.testing.assert_allclose(bank(x), scale[:, None] * before + shift[:, None], rtol=1e-4)
