"""Heads of one shape as one batched computation, for models that answer many tasks.

The equations are those of `heads` and `residual`, rewritten for requests of a few hundred rows,
where passes over [N, B, H] cost as much as products: what is linear is multiplied out beforehand,
and no pass is made that a product can take over. Products of what all heads share are the cheapest.

What a task answers does not depend, to the last bit, on the tasks that it shares a bank with.
Products are batched by head, or by 16 heads that fill a vector register, or have so few terms that
their order is the same for any number of heads. TensorFlow multiplies a batch of one in another
way than larger ones: a head that is alone stands in its bank twice, and a single row gets company
where products are batched by row. It takes exponentials of whole vector registers in another way
than those of the rest: see `in_whole_vectors`. It sums a dimension of 16 and more in an order that
depends on the others: `add_n` does not. And it changes the order of products of several factors, or
of sums, that widen each other: here are none.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.layers.prompts import EPSILON
from mptrec_tf.layers.statistics import id_places
from mptrec_tf.models.encoded import HeadInputs
from mptrec_tf.models.head_kinds import AnyConfig, AnyHead
from mptrec_tf.models.heads import HeadConfig
from mptrec_tf.models.weights import named_weights

# What matters in training alone.
_TRAINING = ("tower_dropout", "l2_dense", "kl_weight")
_VECTOR = 16  # float32 of the widest registers
# Products of two terms with no more results than this add them up in one order: above it Eigen
# multiplies in another way. Found by trying; the tests go on both sides of it.
_IN_ORDER, _RESULTS = 2, 8192
_Weights = Mapping[str, np.ndarray]


def head_banks(heads: Mapping[str, AnyHead], prompts: np.ndarray) -> list["HeadBank"]:
    """Returns as few banks as the shapes of the heads allow.

    Args:
      heads: Trained heads by task.
      prompts: [K, H]. The pre-trained tasks' prompts.
    """
    groups: dict[AnyConfig, dict[str, AnyHead]] = {}
    for task, head in heads.items():
        groups.setdefault(_for_serving(head.config), {})[task] = head
    return [
        (PromptBank if isinstance(config, HeadConfig) else ResidualBank)(config, group, prompts)
        for config, group in groups.items()
    ]


def _for_serving(config: AnyConfig) -> AnyConfig:
    known = {field.name for field in dataclasses.fields(config)}
    return dataclasses.replace(config, **{name: 0.0 for name in _TRAINING if name in known})


class HeadBank(tf.Module):
    """Heads whose shapes agree.

    Args:
      config: Their shape.
      heads: Trained heads by task, N of them. Their weights are copied.
      prompts: [K, H]. The pre-trained tasks' prompts.
    """

    def __init__(self, config: AnyConfig, heads: Mapping[str, AnyHead], prompts: np.ndarray):
        super().__init__()
        self.tasks = tuple(heads)
        self._config = config
        stacked = list(heads.values()) if len(heads) > 1 else 2 * list(heads.values())
        self._count = len(stacked)
        # Products are made with more digits than the weights have.
        weights = [
            {name: weight.numpy().astype(np.float64) for name, weight in named_weights(h).items()}
            for h in stacked
        ]
        self._fold(weights, prompts.astype(np.float64))
        layers = range(len(config.tower_units))
        self._lows = [self._stack(weights, lambda w, i=i: -self._left_out(w, i)) for i in layers]
        self._kernels = [self._stack(weights, _of_tower("kernel", i + 1)) for i in layers]
        self._last = self._stack(weights, lambda w: self._left_out(w, len(layers)))

    @staticmethod
    def _stack(
        weights: Sequence[_Weights], function: Callable[[_Weights], np.ndarray], axis: int = 0
    ) -> tf.Variable:
        """One variable of what a function makes of each head's weights."""
        values = np.stack([function(w) for w in weights], axis)
        return tf.Variable(values.astype(np.float32), trainable=False)

    def _left_out(self, w: _Weights, layer: int) -> np.ndarray:
        """[1, units]: what a layer of the tower lacks before its activation, see `__call__`."""
        if layer == 0:
            return self._left_out_first(w)
        kernel, bias = (_of_tower(what, layer)(w) for what in ("kernel", "bias"))
        return self._left_out(w, layer - 1) @ kernel + bias

    def __call__(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns the logits [N, B] of `tasks`, for what the backbone makes of a batch.

        For predictions whose bits do not depend on the other tasks and rows, link functions go
        through `in_whole_vectors`.
        """
        h = self._first_layer(inputs)
        # relu(h + b) = max(h, -b) + b, and this b goes with the bias of the layer that follows.
        for low, kernel in zip(self._lows, self._kernels, strict=True):
            h = tf.maximum(h, low) @ kernel
        logits = tf.squeeze(h + self._last, axis=2) + self._added(inputs)
        return logits[: len(self.tasks)]

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        """Makes the variables of `_first_layer` and `_added`."""
        raise NotImplementedError

    def _first_layer(self, inputs: HeadInputs) -> tf.Tensor:
        """Returns [N, B, units]: the tower's first layer before activation, without its bias."""
        raise NotImplementedError

    def _left_out_first(self, w: _Weights) -> np.ndarray:
        """[1, units]: that bias."""
        return _of_tower("bias", 0)(w)

    def _added(self, inputs: HeadInputs) -> tf.Tensor | float:
        """Returns what is added to the logits [N, B]."""
        del inputs
        return 0.0

    def _by_vectors(self, weights: Sequence[_Weights]) -> tf.Variable:
        """[G, D, 16]: the gates of 16 heads each, and of none."""
        columns = np.concatenate([_gate_difference(w) for w in weights], axis=1)
        groups = max(2, -(-columns.shape[1] // _VECTOR))
        columns = np.pad(columns, [[0, 0], [0, groups * _VECTOR - columns.shape[1]]])
        return self._stack(np.split(columns, groups, axis=1), lambda column: column)

    def _gate(self, x: tf.Tensor, gates: tf.Variable) -> tf.Tensor:
        """Returns the weights [N, B] of the specific representations, for x [B, D]."""
        gate = tf.transpose(x[tf.newaxis] @ gates, [0, 2, 1])  # [G, 16, B]
        gate = tf.reshape(gate, [-1, tf.shape(gate)[2]])[: self._count]
        return in_whole_vectors(tf.sigmoid, gate)


def _of_tower(what: str, layer: int) -> Callable[[_Weights], np.ndarray]:
    return lambda w: w[f"tower/{what}_{layer}"][0]


class PromptBank(HeadBank):
    """The paper's heads.

    With v = relu(x U_1), the query before its normalisation is v U_2. Its mean over the H
    dimensions is taken out of U_2 beforehand: C = U_2 (I - 1 1^T / H). Then

        variance = |v C|^2 / H
        scores   = v C (scale * p_k) / sqrt(variance + epsilon) + shift . p_k

    No query is made: see `_second_product`. What of the gate goes to the specific representation
    is multiplied into the weights of the old tasks.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        tau = self._config.tau
        self._old_tasks = len(prompts)
        self._prompts = self._stack(weights, lambda w: w["prompt/prompts"][0])
        if self._config.attention == "fixed":
            self._shift = self._stack(weights, lambda w: np.zeros((len(prompts), 1)), 1)
        elif self._config.attention == "task_similarity":
            self._shift = self._stack(weights, lambda w: prompts @ w["prompt/prompts"].T / tau, 1)
        else:
            self._shift = self._stack(
                weights, lambda w: prompts @ w["query/shift"][:, None] / tau, 1
            )
            self._hidden = self._stack(weights, lambda w: w["query/hidden"])
            products = [_second_product(w, prompts / tau) for w in weights]
            self._second, self._scores = (
                self._stack(each, lambda product: product) for each in zip(*products, strict=True)
            )
        self._gates = self._by_vectors(weights)
        self._kernel = self._stack(weights, _of_tower("kernel", 0))

    def _first_layer(self, inputs: HeadInputs) -> tf.Tensor:
        gate = self._gate(inputs.x, self._gates)
        if self._config.attention != "prompt":
            scores = self._shift + tf.zeros_like(gate)  # [K, N, B]
        else:
            v = tf.nn.relu(inputs.x[tf.newaxis] @ self._hidden)
            second = v @ self._second
            length = tf.raw_ops.EuclideanNorm(input=second, axis=2)
            plain = second[..., : self._scores.shape[1]] @ self._scores
            scale = in_whole_vectors(tf.math.rsqrt, tf.square(length) + EPSILON)
            scores = tf.transpose(plain, [2, 0, 1]) * scale + self._shift
        # A softmax over the old tasks.
        weights = in_whole_vectors(tf.exp, scores - tf.reduce_max(scores, axis=0))
        weights *= gate / tf.add_n(tf.unstack(weights, num=self._old_tasks))
        # [B, N, H], where products by row do most of the work.
        aware = _mixed(weights, inputs.specific) * self._prompts
        shared = tf.transpose(1 - gate)[..., tf.newaxis] @ inputs.shared[0][:, tf.newaxis]
        return tf.transpose(aware + shared, [1, 0, 2]) @ self._kernel


def in_whole_vectors(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Applies a function of single values to [..., B], with B filled up to whole vectors."""
    rows = tf.shape(values)[-1]
    ends = [[0, 0]] * (values.shape.rank - 1) + [[0, -rows % _VECTOR]]
    return function(tf.pad(values, ends))[..., :rows]


def _mixed(weights: tf.Tensor, specific: tf.Tensor) -> tf.Tensor:
    """Returns sums [B, N, H] over the old tasks, of weights [K, N, B] and specific [K, B, H]."""
    rows = tf.shape(weights)[2]
    # No batch of one. Where nothing is added, nothing is copied.
    ends = [[0, tf.maximum(0, 2 - rows)], [0, 0], [0, 0]]
    weights, specific = (
        tf.pad(tf.transpose(values, order), ends)
        for values, order in ((weights, [2, 1, 0]), (specific, [1, 0, 2]))
    )
    count, old_tasks, width = weights.shape[1], *specific.shape[1:]
    heads = max(1, _RESULTS // width)
    terms = _IN_ORDER if heads * width <= _RESULTS else 1
    sums = [
        tf.add_n(
            [
                weights[:, n : n + heads, k : k + terms] @ specific[:, k : k + terms]
                for k in range(0, old_tasks, terms)
            ]
        )
        for n in range(0, count, heads)
    ]
    return tf.concat(sums, axis=1)[:rows]


def _second_product(w: _Weights, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What makes the length of a query and its scores of v, in one square product.

    For C^T = Q R, |v R^T| = |v C|, in fewer dimensions; and any rotation of these may follow. This
    one makes the scores combinations of the first dimensions.

    Returns:
      [H/2, H/2], whose products' lengths are the square roots of the variances, and [at most K, K],
      which makes the scores of those products' first dimensions.
    """
    output = w["query/output"]
    centred = output - output.mean(axis=1, keepdims=True)
    basis, lengths = np.linalg.qr(centred.T)
    rotation, scores = np.linalg.qr(basis.T @ (w["query/scale"] * prompts).T, "complete")
    root = np.sqrt(output.shape[1])
    return lengths.T @ rotation / root, scores[: len(prompts)] * root


class ResidualBank(HeadBank):
    """Heads with an expert of their own.

    What they read is the same for all of them, the backbone's standardised values. With T for the
    part of the tower's first layer that sees the fusion,

        z T = g_1 (s T) + g_2 (t T),    s T = mean_k(h^_k) (p T),    t = h^_0

    so that both products are of what all heads share, and the gate passes over no more than the
    tower's units. The old tasks' logits go with both: g_1 + g_2 = 1.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        del prompts
        self._gates = self._by_vectors(weights)
        self._expert = self._stack(weights, lambda w: w["expert/kernel_0"][0])
        self._low = self._stack(weights, lambda w: -w["expert/bias_0"][0])
        self._residual = self._stack(weights, lambda w: self._of_first(w)[1])
        self._specific = self._stack(weights, self._kernel_of_specific)
        self._shared = self._stack(weights, self._kernel_of_shared)
        if self._config.id_ranges:
            self._ids = self._stack(weights, lambda w: w["ids/weights"], axis=1)  # [V, N]

    def _first_layer(self, inputs: HeadInputs) -> tf.Tensor:
        x, shared, specific, logits = inputs.standard
        gate = self._gate(x, self._gates)[..., tf.newaxis]
        specific = tf.concat([specific, logits], axis=1)[tf.newaxis] @ self._specific
        shared = tf.concat([shared, logits], axis=1)[tf.newaxis] @ self._shared
        residual = tf.maximum(x[tf.newaxis] @ self._expert, self._low) @ self._residual
        return tf.add_n([shared, gate * (specific - shared), residual])

    def _of_first(self, w: _Weights) -> list[np.ndarray]:
        """The parts of the tower's first kernel that see fusion, residuals and logits."""
        kernel = _of_tower("kernel", 0)(w)
        ends = np.cumsum([w["prompt/prompts"].shape[1], self._config.expert_units])
        return np.split(kernel, ends)

    def _kernel_of_specific(self, w: _Weights) -> np.ndarray:
        fused, _, logits = self._of_first(w)
        return np.concatenate([w["prompt/prompts"].T * fused, logits])

    def _kernel_of_shared(self, w: _Weights) -> np.ndarray:
        fused, _, logits = self._of_first(w)
        return np.concatenate([fused, logits])

    def _left_out_first(self, w: _Weights) -> np.ndarray:
        return super()._left_out_first(w) + w["expert/bias_0"][0] @ self._of_first(w)[1]

    def _added(self, inputs: HeadInputs) -> tf.Tensor | float:
        if not self._config.id_ranges:
            return 0.0
        places = id_places(inputs.ids, self._config.id_ranges)
        rows, count = tf.unstack(tf.shape(places))
        # A sum that makes no copy of what it adds.
        added = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=self._ids,
            indices=tf.reshape(places, [-1]),
            segment_ids=tf.repeat(tf.range(rows), count),
            num_segments=rows,
        )
        return tf.transpose(added)


def _gate_difference(w: _Weights) -> np.ndarray:
    """[D, 1]: softmax over two is a sigmoid of their difference."""
    return w["gate/kernel"][:, :1] - w["gate/kernel"][:, 1:]
