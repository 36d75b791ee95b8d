"""MMoE, PLE, STEM, AITM and Sparse-Sharing: their papers' equations as loops in NumPy."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.models.aitm import AITMTrainer
from mptrec_tf.models.encoded import Layout
from mptrec_tf.models.shapes import AITMLosses, PLEShape
from mptrec_tf.models.sparse_sharing import SparseSharing
from mptrec_tf.models.trainer import Trainer

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
TWO_LEVELS = {"levels": 2, "specific_experts": 2, "shared_experts": 3}


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def weights_of(model):
    return {k: v.numpy().astype(np.float64) for k, v in model.named_weights().items()}


def embed(w, batch, b, table=None):
    """x of row b; of one of several tables."""
    rows = [w["embedding/table"][i] for i in batch["categorical"][b]]
    if table is not None:
        rows = [row[2 * table : 2 * table + 2] for row in rows]
    return np.concatenate([*rows, batch["numeric"][b]])


def gate(w, name, x, task, choices):
    return softmax(x @ w[f"{name}/kernel"][:, choices * task : choices * (task + 1)])


def towers(w, network, specific):
    return [network(w, "towers", k, f, linear_end=True) for k, f in enumerate(specific)]


def plain_mmoe(model, w, batch, b, network):
    count = w["experts/kernel_0"].shape[0]
    x = embed(w, batch, b)
    h = [network(w, "experts", e, x) for e in range(count)]
    gates = [gate(w, "gates", x, k, count) for k in range(3)]
    return h, [sum(a * of for a, of in zip(gates[k], h, strict=True)) for k in range(3)]


def plain_ple(model, w, batch, b, network):
    shape = model.shape
    own, common = shape.specific_experts, shape.shared_experts
    f = [embed(w, batch, b)] * 4  # of tasks, and of what is shared
    for level in range(shape.levels):
        bank = f"experts_{level}"
        h = [[network(w, bank, k * own + e, f[k]) for e in range(own)] for k in range(3)]
        shared = [network(w, bank, 3 * own + e, f[3]) for e in range(common)]
        new = []
        for k in range(3):
            a = gate(w, f"gates_{level}", f[k], k, own + common)
            new.append(sum(a[e] * of for e, of in enumerate(h[k] + shared)))
        if level < shape.levels - 1:
            every = [of for task in h for of in task] + shared
            a = gate(w, f"shared_gate_{level}", f[3], 0, len(every))
            new.append(sum(a[e] * of for e, of in enumerate(every)))
        f = new
    return shared, f


def plain_stem(model, w, batch, b, network):
    x = [embed(w, batch, b, table) for table in range(4)]  # the shared one's first
    h = [network(w, "experts", e, x[e]) for e in range(4)]
    specific = []
    for k in range(3):
        a = gate(w, "gates", x[k + 1] + x[0], k, 4)
        specific.append(sum(a[e] * h[e] for e in range(4)))
    return h[:1], specific


def plain_aitm(model, w, batch, b, network):
    x = embed(w, batch, b)
    z = []
    value, key, query = np.split(w["transfer/kernel"], 3, axis=1)
    for k in range(3):
        known = network(w, "experts", k, x)
        if k:
            pair = [network(w, f"pass_{k - 1}", 0, z[-1]), known]
            a = softmax(np.array([(u @ key) @ (u @ query) / np.sqrt(4) for u in pair]))
            known = a[0] * pair[0] @ value + a[1] * pair[1] @ value
        z.append(known)
    return [], z


def plain_sparse_sharing(model, w, batch, b, network):
    x = embed(w, batch, b)
    specific = []
    for k in range(3):
        of_task = {f"experts/bias_{i}": w[f"experts/bias_{i}"] for i in range(2)}
        for i in range(2):
            of_task[f"experts/kernel_{i}"] = w[f"experts/kernel_{i}"] * w[f"experts/mask_{i}"][k]
        specific.append(network(of_task, "experts", 0, x))
    return [], specific


CASES = [
    ("mmoe", {}, plain_mmoe),
    ("mmoe", {"expert_count": 2}, plain_mmoe),
    ("ple", {}, plain_ple),
    ("ple", TWO_LEVELS, plain_ple),
    ("stem", {}, plain_stem),
    ("aitm", {}, plain_aitm),
    ("sparse_sharing", {}, plain_sparse_sharing),
    ("csrec", {}, plain_sparse_sharing),
]


@pytest.mark.parametrize(("kind", "changes", "plain"), CASES)
def test_equals_a_loop_over_rows_tasks_and_experts(
    backbone, batch, plain_network, kind, changes, plain
):
    model, inputs = backbone(kind=kind, **changes), batch()
    encoded, w = model.encode(inputs), weights_of(model)
    logits = model.predict_tasks(encoded).logits
    np.testing.assert_array_equal(model(inputs), tf.transpose(logits))
    for b in range(6):
        shared, specific = plain(model, w, inputs, b, plain_network)
        assert encoded.shared.shape[0] == len(shared)
        for actual, expected in zip(encoded.shared[:, b], shared, strict=True):
            np.testing.assert_allclose(actual, expected, **CLOSE)
        np.testing.assert_allclose(encoded.specific[:, b], specific, **CLOSE)
        np.testing.assert_allclose(logits[:, b], towers(w, plain_network, specific), **CLOSE)


@pytest.mark.parametrize(
    ("kind", "changes", "expected", "experts"),
    [
        ("mmoe", {}, (8, 4, 3), 4),
        ("mmoe", {"expert_count": 2}, (8, 2, 3), 2),
        ("ple", TWO_LEVELS, (8, 3, 3), 9),
        ("stem", {}, (3 * 8 + 2, 1, 3), 0),
        ("aitm", {}, (8, 0, 3), 3),
        ("sparse_sharing", {}, (8, 0, 3), 0),
        ("csrec", {}, (8, 0, 3), 0),
    ],
)
def test_layouts(backbone, kind, changes, expected, experts):
    units = (5, 4) if experts else ()
    layout = Layout(*expected, width=4, tasks=3, ids=3, experts=experts, expert_units=units)
    assert backbone(kind=kind, **changes).layout == layout


@pytest.mark.parametrize("kind", ["mmoe", "ple", "stem", "aitm", "sparse_sharing", "csrec"])
@pytest.mark.parametrize("without", ["categorical", "numeric"])
def test_one_kind_of_features_and_one_task_alone(backbone, batch, kind, without):
    inputs = tuple(of for of in backbone(kind=kind).shape.inputs if of.kind != without)
    model = backbone(("click",), kind=kind, inputs=inputs)
    features = {k: v for k, v in batch().items() if k != without}
    assert model(features).shape == (6, 1)
    assert np.isfinite(model(features)).all()


def test_levels_of_ple_are_checked(shape):
    with pytest.raises(ValueError, match=r"levels should be 1 or more\. Received: 0"):
        shape(kind="ple", levels=0)
    with pytest.raises(ValueError, match=r"specific_experts should be 1 or more\. Received: 0"):
        PLEShape(("a",), (), specific_experts=0)


# STEM: all forward, task-specific backward.


def test_a_task_of_stem_trains_its_own_parts_and_the_shared_ones(backbone, batch):
    model, inputs = backbone(kind="stem"), batch()
    for k in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(inputs)[:, k])
        table, kernel = tape.gradient(
            loss, [model.embeddings["categorical"].table, model.experts.kernels[0]]
        )
        of_table = np.abs(tf.convert_to_tensor(table)).reshape(12, 4, 2).sum(axis=(0, 2))
        of_experts = np.abs(kernel).sum(axis=(1, 2))
        trained = np.isin(np.arange(4), [0, k + 1])
        assert (of_experts[trained] > 0).all()
        assert (of_table[trained] > 0).all()
        np.testing.assert_array_equal(of_experts[~trained], 0.0)
        np.testing.assert_array_equal(of_table[~trained], 0.0)


def test_a_task_of_stem_reads_the_other_tasks(backbone, batch):
    model = backbone(kind="stem")
    before = model(batch()).numpy()
    bias = model.experts.biases[-1].numpy()
    bias[2] += 1  # of the second task
    model.experts.biases[-1].assign(bias)
    assert (model(batch()).numpy() != before).any(axis=0).all()


def test_a_task_of_mmoe_trains_all_experts(backbone, batch):
    model = backbone(kind="mmoe")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(batch())[:, 1])
    [kernel] = tape.gradient(loss, [model.experts.kernels[0]])
    assert (np.abs(kernel).sum(axis=(1, 2)) > 0).all()


def test_a_task_of_ple_does_not_read_other_tasks_experts_of_one_level(backbone, batch):
    model = backbone(kind="ple")
    before = model(batch()).numpy()
    bias = model.experts[0].biases[-1].numpy()
    bias[1] += 1
    model.experts[0].biases[-1].assign(bias)
    after = model(batch()).numpy()
    np.testing.assert_allclose(after[:, [0, 2]], before[:, [0, 2]], rtol=1e-6)
    assert (after[:, 1] != before[:, 1]).any()


# AITM: the order of tasks, and the calibrator.


def test_a_task_of_aitm_reads_those_before_it(backbone, batch):
    model = backbone(kind="aitm")
    before = model(batch()).numpy()
    bias = model.experts.biases[-1].numpy()
    bias[1] += 1
    model.experts.biases[-1].assign(bias)
    after = model(batch()).numpy()
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1:] != before[:, 1:]).any(axis=0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_calibrator_by_hand(backbone, batch, tasks_of, weighted):
    model, inputs = backbone(kind="aitm"), batch(weight=weighted)
    weight = inputs.get("weight", np.ones(6))
    plain = Trainer(model, tasks_of(model)).compute_loss(inputs)
    trainer = AITMTrainer(model, tasks_of(model), AITMLosses(constraint_weight=0.25))
    p = 1 / (1 + np.exp(-model(inputs).numpy().astype(np.float64)))
    rows = np.maximum(p[:, 1] - p[:, 0], 0) + np.maximum(p[:, 2] - p[:, 1], 0)
    expected = (weight * rows).sum() / weight.sum()
    assert expected > 0.01
    np.testing.assert_allclose(
        trainer.compute_loss(inputs), float(plain) + 0.25 * expected, rtol=1e-5
    )
    means = {m.name: float(m.result()) for m in trainer.metrics}
    np.testing.assert_allclose(means["constraint"], expected, rtol=1e-5)


def test_the_calibrator_is_of_probabilities_alone(backbone, batch):
    model, inputs = backbone(kind="aitm"), batch()
    tasks = [
        BinaryTask("click", "click", ("1",)),
        RegressionTask("like", "like", mean=0.0, deviation=1.0),
        BinaryTask("buy", "buy", ("1",)),
    ]
    trainer = AITMTrainer(model, tasks, AITMLosses())
    assert trainer.compute_loss(inputs) == Trainer(model, tasks).compute_loss(inputs)
    assert not [m.name for m in trainer.metrics if m.name == "constraint"]
    off = AITMTrainer(model, tasks, AITMLosses(constraint_weight=0.0))
    assert off.compute_loss(inputs) == trainer.compute_loss(inputs)


def test_the_calibrator_finds_probabilities_behind_a_task_of_several_numbers(backbone, batch):
    model, inputs = backbone(kind="aitm", task_logits=(3, 1, 1)), batch()
    model.rescale(np.ones(5), [0.0, 0.0, 0.0, 0.0, 3.0])  # buys more often than it likes
    tasks = [
        ClassesTask("click", "click", values=("a", "b", "c")),
        BinaryTask("like", "like", ("1",)),
        BinaryTask("buy", "buy", ("1",)),
    ]
    trainer = AITMTrainer(model, tasks, AITMLosses(constraint_weight=0.25))
    trainer.compute_loss(inputs)
    p = 1 / (1 + np.exp(-model(inputs).numpy().astype(np.float64)))
    expected = np.maximum(p[:, 4] - p[:, 3], 0).mean()
    assert expected > 0.01
    means = {m.name: float(m.result()) for m in trainer.metrics}
    np.testing.assert_allclose(means["constraint"], expected, rtol=1e-5)


# Sparse-Sharing.


def test_a_report_says_how_large_the_subnets_are(backbone, batch, tasks_of):
    model = SparseSharing(backbone(kind="shared_bottom").shape)
    mask = model.experts.masks[0].numpy()  # 8 -> 5; the next layer is 5 -> 4
    mask[1, :4] = 0
    model.experts.masks[0].assign(mask)
    trainer = Trainer(model, tasks_of(model))
    report = trainer.report(batch())
    np.testing.assert_allclose(report["subnet"], [[1, 40 / 60, 1]] * 6, rtol=1e-6)
    np.testing.assert_array_equal(report["prediction"], tf.sigmoid(model(batch())))
