import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.heads.prompt_shape import ATTENTIONS, PromptConfig
from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
from mptrec_tf.models.prompted import IDS, REPRESENTATIONS, NewTask, PromptedMPTRec
from mptrec_tf.models.shapes import MPTRecLosses
from mptrec_tf.models.trainer import Plan
from mptrec_tf.models.weights import print_trainable_parameters

SMALL = PromptConfig(tower_units=(3,), tau=2.0)
ONLINE = MPTRecLosses(assignment="online")


def a_task(name):
    return BinaryTask(name, name, ("1",), ("0",))


def make(backbone, *tasks, head=SMALL):
    model = PromptedMPTRec(backbone)
    for task in tasks:
        model.add_task(a_task(task), head)
    return model


def values(weights):
    return [w.numpy() for w in weights]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def train(model, batch, dataset, steps=5, encoded=True, optimizer=None, eagerly=True):
    """Trains on encoded rows, as stage 2 does, or on features. Small steps need no tracing."""
    inputs = {"labels": batch["labels"][:, : len(model.new_tasks)]}
    if encoded:
        inputs |= model.encode_once(batch)
    else:
        inputs |= {k: batch[k] for k in ("categorical", "numeric")}
    model.compile(optimizer or keras.optimizers.Adam(0.05), run_eagerly=eagerly)
    return model.fit(dataset(inputs, steps), epochs=2, verbose=0).history


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("tasks", [("click",), ("click", "like", "buy")])
def test_packed_rows_are_the_encoded_ones(backbone, batch, tasks, rows):
    model, inputs = make(backbone(tasks=tasks, expert_dropout=0.5)), batch(rows)
    once = model.encode_once(inputs)
    assert set(once) == {REPRESENTATIONS, IDS}
    packed = once[REPRESENTATIONS]
    assert packed.shape == (rows, 8 + 4 + len(tasks) * 4 + len(tasks))
    direct = model.backbone.encode(inputs)
    actual = model.encode(once)
    for name in ("x", "shared", "specific"):
        one, other = getattr(actual.encoded, name), getattr(direct, name)
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_array_equal(actual.encoded.ids, inputs["categorical"])
    # The old tasks' logits are stored with it.
    expected = model.backbone.predict_tasks(direct).logits
    np.testing.assert_allclose(actual.logits, expected, rtol=1e-4, atol=1e-5)
    # What was taken apart is what was packed, bit for bit.
    layout = model.backbone.layout
    np.testing.assert_array_equal(layout.pack(*layout.unpack(packed, actual.encoded.ids)), packed)


@pytest.mark.parametrize("rows", [1, 6])
def test_answers_from_features_and_from_what_was_encoded(backbone, batch, rows):
    model, inputs = make(backbone(), "share", "follow"), batch(rows)
    from_features = model(inputs)
    from_encoded = model(model.encode_once(inputs))
    assert list(from_features) == ["share", "follow"]
    for name, head in model.heads.items():
        assert from_features[name].shape == (rows,)
        np.testing.assert_allclose(from_encoded[name], from_features[name], rtol=1e-5)
        logits = head(model.backbone.head_inputs(model.backbone.encode(inputs))).logits
        np.testing.assert_allclose(from_features[name], tf.sigmoid(logits), rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_the_sum_over_new_tasks(backbone, batch, plain_bce, weighted, rows):
    model, inputs = make(backbone(), "share", "follow"), batch(rows, 2, weight=weighted)
    weight = inputs.get("weight", np.ones(rows))
    expected = {}
    for column, (name, probability) in enumerate(model(inputs).items()):
        logit = np.log(probability / (1 - probability))
        losses = plain_bce(logit, inputs["labels"][:, column])
        expected[f"loss/{name}"] = (weight * losses).sum() / weight.sum()
    np.testing.assert_allclose(model.compute_loss(inputs), sum(expected.values()), rtol=1e-4)
    assert {m.name for m in model.metrics} == set(expected)
    for metric in model.metrics:
        np.testing.assert_allclose(metric.result(), expected[metric.name], rtol=1e-4)


def test_report_of_a_batch(backbone, batch):
    for rows in (1, 6):
        model = make(backbone(), "share", "follow")
        inputs = model.encode_once(batch(rows))
        report = model.report(inputs)
        assert report["prediction"].shape == report["gate"].shape == (rows, 2)
        encoded = model.encode(inputs).encoded
        for column, (name, head) in enumerate(model.heads.items()):
            np.testing.assert_allclose(
                report["prediction"][:, column], model(inputs)[name], rtol=1e-5
            )
            gate = head.gate(encoded.x)[0, :, 0]
            np.testing.assert_allclose(report["gate"][:, column], gate, rtol=1e-5)


# Frozen.


@pytest.mark.parametrize("encoded", [True, False])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_training_a_new_task_leaves_the_backbone_bit_for_bit(
    backbone, batch, dataset, attention, encoded
):
    old = backbone(l2_embedding=0.5, l2_dense=0.5)
    before, predictions = values(old.weights), old(batch()).numpy()
    model = make(old, "share", head=PromptConfig(attention, tower_units=(3,)))
    head = values(model.heads["share"].weights)
    history = train(model, batch(), dataset, encoded=encoded, eagerly=False)
    assert history["total_loss"][-1] < history["total_loss"][0]
    for weight, value in zip(model.heads["share"].weights, head, strict=True):
        assert not np.array_equal(weight, value), weight.name
    assert_same(values(old.weights), before)
    np.testing.assert_array_equal(old(batch()), predictions)


def test_the_optimizer_holds_nothing_for_the_backbone(backbone, batch, dataset):
    model = make(backbone(), "share")
    train(model, batch(), dataset, encoded=False)
    # Adam's two moments of each of the head's weights, and the number of steps.
    sizes = sorted(int(tf.size(v)) for v in model.optimizer.variables)
    moments = 2 * [int(tf.size(w)) for w in model.heads["share"].weights]
    assert sizes == sorted([*moments, 1])
    names = [v.name for v in model.optimizer.variables]
    old = [w.name.split(":")[0].replace("/", "_") for w in model.backbone.parameters]
    assert not [name for name in names for one in old if one in name]


class Spy(keras.optimizers.Adam):
    """Records the variables whose gradients it receives."""

    def apply_gradients(self, grads_and_vars, **kwargs):
        pairs = list(grads_and_vars)
        self.seen = {id(variable): gradient is not None for gradient, variable in pairs}
        return super().apply_gradients(pairs, **kwargs)


def test_gradients_are_computed_for_the_head_alone(backbone, batch, dataset):
    model, optimizer = make(backbone(), "share"), Spy(0.05)
    train(model, batch(), dataset, encoded=False, optimizer=optimizer)
    assert optimizer.seen == {id(w): True for w in model.heads["share"].weights}
    assert {id(w) for w in model.trainable_weights} == set(optimizer.seen)
    assert model.backbone.trainable_weights == []


def test_losses_are_the_new_tasks_own(backbone, batch, dataset):
    """The losses that the backbone's layers hold from before are left out."""
    old = backbone(l2_embedding=0.5, l2_dense=0.5)
    pretrain(old, batch, dataset, eagerly=False)
    head = PromptConfig(l2_dense=0.25, tower_units=(3,))
    for encoded in (True, False):
        model = make(old, f"share_{encoded}", head=head)
        assert model.losses == []
        still = keras.optimizers.SGD(0.0)
        history = train(model, batch(), dataset, encoded=encoded, optimizer=still, eagerly=False)
        kernels = next(iter(model.heads.values())).tower.kernels
        expected = 0.125 * sum((kernel.numpy() ** 2).sum() for kernel in kernels)
        np.testing.assert_allclose(history["regularization_loss"][-1], expected, rtol=1e-5)


def pretrain(old, batch, dataset, eagerly=True):
    tasks = [a_task(name) for name in old.shape.tasks]
    model = MPTRecTrainer(old, tasks, ONLINE, Plan(steps=5, rows=6))
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=eagerly)
    model.fit(dataset(batch(), 2), verbose=0)


def test_the_toggle_restores_training(backbone, batch, dataset):
    old = backbone()
    trainable = [id(w) for w in old.trainable_weights]
    model = make(old, "share")
    assert not old.trainable
    frozen = values(old.weights)
    train(model, batch(), dataset)
    assert_same(values(old.weights), frozen)
    old.trainable = True
    assert [id(w) for w in old.trainable_weights] == trainable
    pretrain(old, batch, dataset)
    parameters = {id(weight) for weight in old.parameters}
    for weight, value in zip(old.weights, frozen, strict=True):
        assert np.array_equal(weight, value) != (id(weight) in parameters), weight.name
    # And frozen once more.
    model = make(old, "follow")
    frozen = values(old.weights)
    train(model, batch(), dataset)
    assert_same(values(old.weights), frozen)


# New tasks know nothing of one another.


def test_adding_training_replacing_and_removing_leaves_the_others(backbone, batch, dataset):
    inputs = batch()
    model = make(backbone(), "share")
    train(model, inputs, dataset)
    share, old = model(inputs)["share"].numpy(), model.backbone(inputs).numpy()

    def check(*tasks):
        predictions = model(inputs)
        assert model.new_tasks == tuple(predictions) == tasks
        if "share" in predictions:
            np.testing.assert_array_equal(predictions["share"], share)
        np.testing.assert_array_equal(model.backbone(inputs), old)

    model.add_task(a_task("follow"), SMALL)
    check("share", "follow")
    model.heads["share"].trainable = False
    train(model, inputs, dataset)  # of follow alone
    check("share", "follow")
    follow = model(inputs)["follow"].numpy()
    model.add_task(a_task("fixed"), PromptConfig("fixed", tower_units=(2,)))
    check("share", "follow", "fixed")
    model.remove_task("fixed")
    model.remove_task("follow")
    check("share")
    model.add_task(a_task("follow"), SMALL)
    assert not np.array_equal(model(inputs)["follow"], follow)
    check("share", "follow")
    model.remove_task("share")
    check("follow")


def test_two_tasks_trained_together_equal_each_alone(backbone, batch, dataset):
    """Adam works element by element, so that heads share nothing but the steps."""
    inputs = batch(6, 2)
    together = make(backbone(), "share", "follow")
    alone = [make(together.backbone, name) for name in together.new_tasks]
    for column, model in enumerate(alone):
        name = model.new_tasks[0]
        model.heads[name].set_weights(together.heads[name].get_weights())
        train(model, {**inputs, "labels": inputs["labels"][:, column:]}, dataset, steps=2)
    train(together, inputs, dataset, steps=2)
    for model in alone:
        name = model.new_tasks[0]
        np.testing.assert_allclose(together(inputs)[name], model(inputs)[name], rtol=1e-4)


def test_what_was_traced_before_does_not_answer_for_other_heads(backbone, batch, dataset):
    model = make(backbone(), "share")
    inputs = model.encode_once(batch())

    def check(*tasks):
        predictions = model(inputs)
        predicted = model.predict(dataset(inputs), verbose=0)
        report = model.report(inputs)["prediction"].numpy()
        assert tuple(predicted) == tasks
        assert report.shape == (6, len(tasks))
        for column, task in enumerate(tasks):
            np.testing.assert_allclose(predicted[task], predictions[task], rtol=1e-5)
            np.testing.assert_allclose(report[:, column], predictions[task], rtol=1e-5)

    check("share")
    model.add_task(a_task("follow"), SMALL)
    check("share", "follow")
    model.remove_task("share")
    check("follow")
    model.remove_task("follow")
    model.add_task(a_task("follow"), SMALL)  # another one of the same name
    check("follow")


def test_a_task_added_after_training_is_trained(backbone, batch, dataset):
    model = make(backbone(), "share")
    train(model, batch(), dataset, steps=1, eagerly=False)
    model.remove_task("share")
    head = model.add_task(a_task("share"), SMALL)
    before = values(head.weights)
    train(model, batch(), dataset, steps=1, eagerly=False)
    assert all(not np.array_equal(w, value) for w, value in zip(head.weights, before, strict=True))


def test_heads_of_tasks_gone_are_gone(backbone):
    model = make(backbone(), "share", "follow")
    model.remove_task("share")
    assert len(model.trainable_weights) == len(model.heads["follow"].weights)
    assert {m.name for m in model.metrics} == {"loss/follow"}


def test_heads_made_elsewhere_are_taken(backbone, batch):
    first = make(backbone(), "share", "follow")
    follow = NewTask(a_task("follow"), first.heads["follow"])
    second = PromptedMPTRec(first.backbone, {"follow": follow})
    second.attach("share", a_task("share"), first.heads["share"])
    for name, prediction in first(batch()).items():
        np.testing.assert_array_equal(second(batch())[name], prediction)


def test_one_task_may_have_several_heads_by_other_names(backbone, batch):
    model = PromptedMPTRec(backbone())
    for name in ("share/fixed", "share/prompt"):
        config = PromptConfig(name.split("/")[1], tower_units=(3,))
        assert model.add_task(a_task("share"), config, name) is model.heads[name]
    assert model.new_tasks == tuple(model(batch())) == ("share/fixed", "share/prompt")
    assert {m.name for m in model.metrics} == {"loss/share/fixed", "loss/share/prompt"}


# Counts.


@pytest.mark.parametrize(
    ("attention", "text"),
    [
        (
            "prompt",
            "trainable params: 27,063 || all params: 244,441 || trainable%: 11.07",
        ),
        (
            "fixed",
            "trainable params: 10,743 || all params: 228,121 || trainable%: 4.71",
        ),
    ],
)
def test_counts_of_parameters_on_census_income(shape, attention, text):
    census = shape(
        tasks=["income", "marital"],
        inputs=(InputShape("categorical", 28, 493), InputShape("numeric", 11)),
        embedding_width=4,
        expert_units=(256, 128),
        tower_units=(64, 32),
    )
    model = make(MPTRec(census), "education", head=PromptConfig(attention))
    assert print_trainable_parameters(model) == text
    assert model.backbone.joint_parameters() == 293_148


@pytest.mark.parametrize("new_tasks", [1, 2])
def test_parameters_of_joint_training_equal_those_of_a_model_of_all_tasks(shape, new_tasks):
    together = MPTRec(shape(["click", "like", "share", "buy"][: 2 + new_tasks]))
    tasks = [a_task(name) for name in together.shape.tasks]
    joint = MPTRecTrainer(together, tasks, ONLINE, Plan(steps=1, rows=1))
    expected = sum(int(tf.size(w)) for w in joint.trainable_weights)
    assert MPTRec(shape(["click", "like"])).joint_parameters(new_tasks) == expected


# Saved and loaded.


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(backbone, shape, batch, dataset, tmp_path):
    head = PromptConfig(tower_units=(3,), tower_dropout=0.3)
    inputs = batch(6, 2)
    encoder = make(backbone())
    inputs |= encoder.encode_once(inputs)

    def begin(old):
        model = make(old, "share", "follow", head=head)
        model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
        model.optimizer.build(model.trainable_variables)
        return model, tf.train.Checkpoint(model=model)

    model, checkpoint = begin(backbone())
    model.fit(dataset(inputs, 3), verbose=0)
    path = checkpoint.write(f"{tmp_path}/checkpoint")
    keras.utils.set_random_seed(99)
    resumed, checkpoint = begin(MPTRec(shape()))
    checkpoint.read(path).assert_consumed()
    for name, prediction in model(inputs).items():
        np.testing.assert_array_equal(resumed(inputs)[name], prediction)
    np.testing.assert_array_equal(resumed.backbone(inputs), model.backbone(inputs))
    for one in (model, resumed):
        one.fit(dataset(inputs, 3), verbose=0)
    assert_same(values(resumed.weights), values(model.weights))
    assert_same(values(resumed.optimizer.variables), values(model.optimizer.variables))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_same_seed_same_head_bit_for_bit(backbone, batch, dataset, attention):
    def run(seed):
        old = backbone()
        keras.utils.set_random_seed(seed)
        model = make(
            old, "share", head=PromptConfig(attention, tower_dropout=0.3, tower_units=(3,))
        )
        train(model, batch(), dataset, steps=2)
        return np.concatenate([w.numpy().ravel() for w in model.heads["share"].weights])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


@pytest.mark.parametrize("name", ["click", "share"])
def test_a_task_that_is_there_already_is_rejected(backbone, name):
    model = make(backbone(), "share")
    with pytest.raises(InputError, match=f"task '{name}' is there already"):
        model.add_task(a_task(name))
    assert model.new_tasks == ("share",)


@pytest.mark.parametrize("name", ["click", "follow"])
def test_removing_what_is_not_there_is_rejected(backbone, name):
    model = make(backbone(), "share")
    with pytest.raises(InputError, match=rf"no new task '{name}' to remove; .*\['share'\]"):
        model.remove_task(name)
