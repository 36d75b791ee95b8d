import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.keras import keras
from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.models.trainer import Plan
from mptrec_tf.models.weights import print_trainable_parameters

STEPS = 10


def tasks_of(backbone):
    return [BinaryTask(name, name, ("1",), ("0",)) for name in backbone.shape.tasks]


def make(backbone, rows=6, steps=STEPS, **losses):
    model = MPTRecTrainer(backbone, tasks_of(backbone), MPTRecLosses(**losses), Plan(steps, rows))
    model.discriminator.bias.assign(np.linspace(-0.5, 0.5, len(model.tasks)))
    return model


def plain_stage_1(model, batch, plain, plain_bce):
    """The loss of stage 1, and the discriminator's metrics, with loops."""
    out, config, labels = plain(model.backbone, batch), model.loss_weights, batch["labels"]
    rows, count = labels.shape
    weight = batch.get("weight", np.ones(rows))

    def mean(values):
        return sum(w * v for w, v in zip(weight, values, strict=True)) / sum(weight)

    losses = np.array([plain_bce(out.logits[k], labels[:, k]) for k in range(count)])
    total = 0.0
    for k in range(count):
        total += mean(losses[k])
        total += config.gen_weight * mean(plain_bce(out.shared_logits[k], labels[:, k]))
    if not config.adversarial_weight:
        return total, {}

    if config.assignment == "periodic":
        environments = model.environments.numpy()[batch["row"]]
    else:
        compared = losses
        if config.normalize_losses:
            compared = np.array([[(one < loss).sum() for loss in one] for one in losses])
        environments = compared.argmin(axis=0)
    nll, right = [], []
    for b in range(rows):
        scores = out.shared[b] @ model.discriminator.kernel.numpy() + model.discriminator.bias
        nll.append(np.log(np.exp(scores).sum()) - scores[environments[b]])
        right.append(np.argmax(scores) == environments[b])
    total += config.adversarial_weight * mean(nll)
    shares = {f"environment/{t}": (environments == k).mean() for k, t in enumerate(model.tasks)}
    return total, shares | {
        "discriminator/accuracy": np.mean(right),
        "discriminator/loss": mean(nll),
    }


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"gen_weight": 0.0, "adversarial_weight": 2.0},
        {"assignment": "online", "adversarial_weight": 3.0},
        {"assignment": "online", "adversarial_weight": 3.0, "normalize_losses": True},
        {"adversarial_weight": 0.0, "gen_weight": 0.3},
    ],
    ids=["paper", "no_gen", "online", "online_ranked", "no_adversary"],
)
def test_loss_equals_a_plain_loop(backbone, batch, plain, plain_bce, config, weight, rows):
    model, inputs = make(backbone(), rows, **config), batch(rows, weight=weight)
    expected, reported = plain_stage_1(model, inputs, plain, plain_bce)
    loss = model.compute_loss(inputs, training=True)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    results = {m.name: float(m.result()) for m in model.metrics}
    assert {name for name in results if "loss/" not in name or "disc" in name} == set(reported)
    for name, value in reported.items():
        np.testing.assert_allclose(results[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fusion", ["share_only", "specific_only"])
def test_loss_of_the_ablations(backbone, batch, plain, plain_bce, fusion):
    model, inputs = make(backbone(fusion=fusion)), batch()
    expected, _ = plain_stage_1(model, inputs, plain, plain_bce)
    np.testing.assert_allclose(model.compute_loss(inputs), expected, rtol=1e-5)


def test_loss_at_known_environments_by_hand(backbone, batch):
    """A discriminator that knows nothing but frequencies: NLL is -log softmax(bias)."""
    model, inputs = make(backbone(), adversarial_weight=1.0), batch()
    without = make(model.backbone, adversarial_weight=0.0).compute_loss(inputs)
    model.discriminator.kernel.assign(tf.zeros_like(model.discriminator.kernel))
    model.discriminator.bias.assign(np.log([0.5, 0.25, 0.25]))
    model.environments.assign([0, 0, 0, 1, 1, 2])
    expected = (3 * np.log(2) + 3 * np.log(4)) / 6
    np.testing.assert_allclose(model.compute_loss(inputs) - without, expected, rtol=1e-5)
    assert float(model._means["discriminator/accuracy"].result()) == 0.5


def test_losses_per_task_are_reported(backbone, batch, plain, plain_bce):
    model, inputs = make(backbone()), batch()
    model.compute_loss(inputs)
    out = plain(model.backbone, inputs)
    results = {m.name: float(m.result()) for m in model.metrics}
    for k, task in enumerate(model.tasks):
        for name, logits in (("loss", out.logits), ("shared_loss", out.shared_logits)):
            expected = plain_bce(logits[k], inputs["labels"][:, k]).mean()
            np.testing.assert_allclose(results[f"{name}/{task}"], expected, rtol=1e-5)
    assert len({id(m) for m in model.metrics}) == len(model.metrics)  # none twice


def test_permuted_tasks_have_the_same_loss(backbone, batch):
    order = [2, 0, 1]
    model, inputs = make(backbone(), adversarial_weight=0.0), batch()
    permuted = make(backbone(tasks=[model.tasks[k] for k in order]), adversarial_weight=0.0)
    for name, weight in model.backbone.named_weights().items():
        value = weight.numpy()
        if name.startswith("experts/"):
            value = value[[0, *(1 + k for k in order)]]
        elif name == "gates/kernel":
            value = value.reshape(-1, 3, 2)[:, order].reshape(-1, 6)
        elif name.startswith(("prompts/", "towers/")):
            value = value[order]
        permuted.backbone.named_weights()[name].assign(value)
    np.testing.assert_allclose(
        permuted.compute_loss({**inputs, "labels": inputs["labels"][:, order]}),
        model.compute_loss(inputs),
        rtol=1e-5,
    )


# The schedule and the direction of gradients.


def gradients(model, loss, inputs):
    weights = {**model.backbone.named_weights()}
    weights |= {f"discriminator/{i}": w for i, w in enumerate(model.discriminator.weights)}
    with tf.GradientTape() as tape:
        value = loss(inputs)
    return {
        name: None if gradient is None else tf.convert_to_tensor(gradient).numpy()
        for name, gradient in tape.gradient(value, weights).items()
    }


@pytest.mark.parametrize(
    ("done", "strength"), [(0, 0.0), (5, 0.98661430), (10, 0.99990920), (25, 0.99990920)]
)
def test_what_is_shared_unlearns_what_the_discriminator_learns(backbone, batch, done, strength):
    model, inputs = make(backbone(), adversarial_weight=0.4), batch()
    model.steps_done.assign(done)
    without = make(model.backbone, adversarial_weight=0.0)

    def nll(inputs):
        """The discriminator's loss, with nothing reversed."""
        h = model.backbone.encode(inputs).shared[0]
        guess = tf.nn.log_softmax(h @ model.discriminator.kernel + model.discriminator.bias)
        truth = tf.gather(model.environments, inputs["row"])
        return -tf.reduce_mean(tf.gather(guess, truth, batch_dims=1))

    whole = gradients(model, lambda i: model.compute_loss(i, training=True), inputs)
    tasks = gradients(without, lambda i: without.compute_loss(i, training=True), inputs)
    plain = gradients(model, nll, inputs)

    for name, gradient in whole.items():
        if name.startswith("discriminator/"):
            expected = 0.4 * plain[name]  # its own, whatever the schedule
            assert np.abs(expected).sum() > 0
        elif name == "embedding/table" or name.startswith("experts/"):
            expected = tasks[name] - strength * 0.4 * plain[name]
            if name.startswith("experts/"):  # specific experts know nothing of the adversary
                assert not plain[name][1:].any()
                assert plain[name][0].any()
        elif name.startswith("standard_"):
            assert gradient is tasks[name] is plain[name] is None
            continue
        else:
            assert plain[name] is None
            expected = tasks[name]
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6, err_msg=name)


def test_steps_are_counted_in_training_alone(backbone, batch):
    model = make(backbone())
    model.compute_loss(batch())
    assert int(model.steps_done) == 0
    for done in (1, 2):
        model.compute_loss(batch(), training=True)
        assert int(model.steps_done) == done


def test_without_adversary_the_discriminator_plays_no_part(backbone, batch, dataset):
    # Neither rows nor their number are needed.
    model = MPTRecTrainer(old := backbone(), tasks_of(old), MPTRecLosses(adversarial_weight=0.0))
    inputs = {k: v for k, v in batch().items() if k != "row"}
    actual = gradients(model, lambda i: model.compute_loss(i, training=True), inputs)
    assert actual["discriminator/0"] is None
    assert actual["discriminator/1"] is None
    before = [w.numpy() for w in model.discriminator.weights]
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    history = model.fit(dataset(inputs, 3), verbose=0).history
    for weight, value in zip(model.discriminator.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert not [name for name in history if "environment" in name or "discriminator" in name]


def test_online_environments_carry_no_gradient(backbone, batch):
    """The argmin is a choice: tasks' own towers get the gradient of their own losses."""
    model = make(backbone(), assignment="online", adversarial_weight=5.0)
    without = make(model.backbone, adversarial_weight=0.0)
    whole = gradients(model, model.compute_loss, batch())
    tasks = gradients(without, without.compute_loss, batch())
    for name in ("towers/kernel_0", "gates/kernel", "prompts/prompts"):
        np.testing.assert_allclose(whole[name], tasks[name], rtol=1e-4, atol=1e-7)


def test_l2_terms_are_added_once_and_only_by_keras(backbone, batch, dataset):
    model = make(backbone(l2_embedding=0.5, l2_dense=0.25))
    w = {k: float((v.numpy() ** 2).sum()) for k, v in model.backbone.named_weights().items()}
    expected = 0.25 * w["embedding/table"] + 0.125 * sum(
        value for name, value in w.items() if name.split("/")[1].startswith("kernel_")
    )
    loss = model.compute_loss(batch())
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    history = model.fit(dataset(batch()), verbose=0).history
    np.testing.assert_allclose(history["regularization_loss"], [expected], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [loss], rtol=1e-5)
    np.testing.assert_allclose(history["total_loss"], [loss + expected], rtol=1e-5)


# Environments.


def test_environments_begin_at_random_among_the_tasks(backbone):
    model = make(backbone(), rows=3000)
    shares = np.bincount(model.environments.numpy(), minlength=3) / 3000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)
    assert not model.environments.trainable


@pytest.mark.parametrize(
    ("normalize", "expected"), [(False, [1, 1, 1, 1, 0, 1]), (True, [1, 0, 1, 1, 0, 0])]
)
def test_updated_environments_by_hand(backbone, normalize, expected):
    model = make(backbone(tasks=["click", "buy"]), normalize_losses=normalize)
    # Ranks of click: 3 0 5 2 1 4; of buy: 2 3 0 1 5 4 (and equal ranks go to the first task).
    losses = [[0.60, 0.20, 0.80, 0.50, 0.40, 0.70], [0.04, 0.05, 0.01, 0.03, 3.00, 0.06]]
    model.update_environments(tf.constant(losses))
    np.testing.assert_array_equal(model.environments, expected)


def test_environments_are_updated_from_the_losses_of_all_rows(backbone, batch, plain, plain_bce):
    model, inputs = make(backbone(expert_dropout=0.5)), batch()
    parts = [{k: v[i : i + 3] for k, v in inputs.items()} for i in (0, 3)]
    losses = tf.concat([model.sample_losses(part) for part in parts], axis=1)
    expected = plain_bce(plain(model.backbone, inputs).logits, inputs["labels"].T)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    model.update_environments(losses)
    np.testing.assert_array_equal(model.environments, expected.argmin(axis=0))


def test_a_batch_reads_the_environments_of_its_own_rows(backbone, batch):
    model = make(backbone(), rows=100)
    model.environments.assign([2] * 90 + [1] * 10)
    model.compute_loss({**batch(), "row": np.array([90, 3, 95, 7, 99, 92], np.int32)})
    results = {m.name: float(m.result()) for m in model.metrics}
    np.testing.assert_allclose(
        [results[f"environment/{t}"] for t in model.tasks], [0, 4 / 6, 2 / 6], rtol=1e-6
    )


def test_report_of_a_batch(backbone, batch, plain):
    for rows in (1, 6):
        model, inputs = make(backbone()), batch(rows)
        report, out = model.report(inputs), plain(model.backbone, inputs)
        np.testing.assert_allclose(report["prediction"], model(inputs), rtol=1e-5)
        np.testing.assert_allclose(report["gate"], out.gates[..., 0].T, rtol=1e-4)
        for k in range(3):
            for b in range(rows):
                u, v = out.shared[b], out.specific[k, b]
                cosine = u @ v / (np.linalg.norm(u) * np.linalg.norm(v) + 1e-12)
                np.testing.assert_allclose(report["cosine"][b, k], cosine, rtol=1e-4, atol=1e-6)


# Training.


@pytest.mark.parametrize("assignment", ["periodic", "online"])
@pytest.mark.parametrize("rows", [1, 6])
def test_a_few_steps_lower_the_loss(backbone, batch, dataset, assignment, rows):
    model = make(backbone(), rows, assignment=assignment)
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=rows == 1 or assignment == "online")
    history = model.fit(dataset(batch(rows), 5), epochs=3, verbose=0).history
    assert history["total_loss"][-1] < history["total_loss"][0]
    assert history["loss"][-1] < history["loss"][0]
    assert int(model.steps_done) == 15


def test_same_seed_same_model_bit_for_bit(shape, batch, dataset):
    def make(seed):
        keras.utils.set_random_seed(seed)
        model = MPTRec(shape(expert_dropout=0.3))
        return MPTRecTrainer(model, tasks_of(model), plan=Plan(STEPS, 6))

    def weights(model):
        return np.concatenate([w.numpy().ravel() for w in model.weights])

    def trained(seed):
        model = make(seed)
        model.compile(keras.optimizers.Adam(0.05))
        model.fit(dataset(batch(), 4), verbose=0)
        return weights(model)

    np.testing.assert_array_equal(trained(1), trained(1))
    assert not np.array_equal(weights(make(1)), weights(make(2)))


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(shape, batch, dataset, tmp_path):
    def begin(seed):
        keras.utils.set_random_seed(seed)
        backbone = MPTRec(shape(expert_dropout=0.3, tower_dropout=0.2))
        model = MPTRecTrainer(backbone, tasks_of(backbone), plan=Plan(STEPS, 6))
        model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
        model.optimizer.build(model.trainable_variables)
        return model, tf.train.Checkpoint(model=model)

    model, checkpoint = begin(1)
    model.fit(dataset(batch(), 3), verbose=0)
    path = checkpoint.write(f"{tmp_path}/checkpoint")
    resumed, checkpoint = begin(2)
    assert not np.array_equal(resumed(batch()), model(batch()))
    checkpoint.read(path).assert_consumed()
    np.testing.assert_array_equal(resumed(batch()), model(batch()))
    np.testing.assert_array_equal(resumed.environments, model.environments)
    assert int(resumed.steps_done) == 3
    for one in (model, resumed):
        one.fit(dataset(batch(), 3), verbose=0)
    for weight, other in zip(model.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    for variable, other in zip(model.optimizer.variables, resumed.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable, other)


def test_parameters_of_full_joint_training_on_census_income(shape):
    census = shape(
        tasks=["income", "marital", "education"],
        inputs=(InputShape("categorical", 28, 493), InputShape("numeric", 11)),
        embedding_width=4,
        expert_units=(256, 128),
        tower_units=(64, 32),
    )
    model = make(MPTRec(census), rows=1000)
    assert (model.backbone.input_width, census.width) == (123, 128)
    assert sum(int(tf.size(w)) for w in model.trainable_weights) == 293_148
    # Neither metrics nor counters nor environments are parameters.
    assert (
        print_trainable_parameters(model)
        == "trainable params: 293,148 || all params: 293,148 || trainable%: 100.00"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"assignment": "daily"}, "assignment should be one of .* Received: 'daily'"),
        ({"cluster_every": 0}, "cluster_every should be 1 or more. Received: 0"),
    ],
)
def test_wrong_settings_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        MPTRecLosses(**config)


@pytest.mark.parametrize("assignment", ["periodic", "online"])
def test_an_adversary_needs_a_plan(backbone, assignment):
    model = backbone()
    with pytest.raises(ValueError, match=r"plan should be given .* Received: None"):
        MPTRecTrainer(model, tasks_of(model), MPTRecLosses(assignment=assignment))
