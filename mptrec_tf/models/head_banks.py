"""Heads of one shape as one batched computation, for models that answer many tasks.

The equations are those of `heads` and `residual`, rewritten for requests of a few hundred rows,
where passes over [N, B, H] cost more than products: what is linear is multiplied out beforehand,
and the first products of a head are one.

What a task answers does not depend, to the last bit, on the tasks that it shares a bank with. All
products are batched by head. TensorFlow multiplies a batch of one in another way than larger ones:
a head that is alone stands in its bank twice. It takes exponentials of whole vector registers in
another way than those of the rest: see `_in_whole_vectors`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.layers.prompts import EPSILON
from mptrec_tf.layers.statistics import id_places
from mptrec_tf.models.backbone import Encoded, named_weights
from mptrec_tf.models.head_kinds import AnyConfig, AnyHead
from mptrec_tf.models.heads import HeadConfig
from mptrec_tf.models.residual import LOGITS_LIMIT, X_LIMIT

# What matters in training alone.
_TRAINING = ("tower_dropout", "l2_dense", "kl_weight")
_VECTOR = 16  # float32 of the widest registers
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
        later = range(1, len(config.tower_units) + 1)
        self._later = [
            (self._stack(weights, _tower("kernel", i)), self._stack(weights, _tower("bias", i)))
            for i in later
        ]

    @staticmethod
    def _stack(
        weights: Sequence[_Weights], function: Callable[[_Weights], np.ndarray], axis: int = 0
    ) -> tf.Variable:
        """One variable of what a function makes of each head's weights."""
        values = np.stack([function(w) for w in weights], axis)
        return tf.Variable(values.astype(np.float32), trainable=False)

    def __call__(self, encoded: Encoded) -> dict[str, tf.Tensor]:
        """Returns the probabilities [B] by task, for what the backbone says of a batch."""
        h = self._first_layer(encoded)
        for kernel, bias in self._later:
            h = tf.nn.relu(h) @ kernel + bias
        logits = tf.squeeze(h, axis=2) + self._added(encoded)
        answers = tf.unstack(_in_whole_vectors(tf.sigmoid, logits), num=self._count)
        return dict(zip(self.tasks, answers, strict=False))

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        """Makes the variables of what comes before the tower's second layer."""
        raise NotImplementedError

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        """Returns [N, B, units], what the tower's first layer says before its activation."""
        raise NotImplementedError

    def _added(self, encoded: Encoded) -> tf.Tensor | float:
        """Returns what is added to the logits [N, B]."""
        del encoded
        return 0.0


def _tower(what: str, layer: int) -> Callable[[_Weights], np.ndarray]:
    return lambda w: w[f"tower/{what}_{layer}"][0]


class PromptBank(HeadBank):
    """The paper's heads.

    With v = relu(x U_1), the query before its normalisation is v U_2. Its mean over the H
    dimensions is taken out of U_2 beforehand: C = U_2 (I - 1 1^T / H). Then

        variance = |v C|^2 / H = v (C C^T) v^T / H
        scores   = v C (scale * p_k) / sqrt(variance + epsilon) + shift . p_k

    so that no query is made, and a gate of two is a sigmoid of the difference.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        tau = self._config.tau
        self._prompts = self._stack(weights, lambda w: w["prompt/prompts"])
        if self._config.attention == "fixed":
            self._shift = self._stack(weights, lambda w: np.zeros((1, len(prompts))))
        elif self._config.attention == "task_similarity":
            self._shift = self._stack(weights, lambda w: w["prompt/prompts"] @ prompts.T / tau)
        else:
            self._shift = self._stack(weights, lambda w: w["query/shift"][None] @ prompts.T / tau)
            self._second = self._stack(weights, lambda w: _second_product(w, prompts / tau))
        self._first = self._stack(weights, self._first_product)
        self._kernel = self._stack(weights, _tower("kernel", 0))
        self._bias = self._stack(weights, _tower("bias", 0))

    def _first_product(self, w: _Weights) -> np.ndarray:
        hidden = [w["query/hidden"]] if self._config.attention == "prompt" else []
        return np.concatenate([*hidden, _gate_difference(w)], axis=1)

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        first = encoded.x[tf.newaxis] @ self._first
        gate = _in_whole_vectors(tf.sigmoid, first[..., -1:])  # [N, B, 1]
        scores = self._shift
        if self._config.attention == "prompt":
            v = tf.nn.relu(first[..., :-1])
            second = v @ self._second
            square, plain = second[..., : v.shape[2]], second[..., v.shape[2] :]
            variance = tf.reduce_sum(square * v, axis=2, keepdims=True)
            variance = tf.maximum(variance, 0.0) + EPSILON
            scores = plain * _in_whole_vectors(tf.math.rsqrt, variance) + scores
        weights = _in_whole_vectors(tf.nn.softmax, scores) * gate  # [N, B, K]
        mixed = tf.einsum("nbk,kbh->nbh", weights, encoded.specific) * self._prompts
        return (mixed + (1 - gate) * encoded.shared) @ self._kernel + self._bias


def _in_whole_vectors(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Applies a function of single rows to [N, B, ...], with B filled up to whole vectors."""
    rows = tf.shape(values)[1]
    ends = [[0, 0], [0, -rows % _VECTOR]] + [[0, 0]] * (values.shape.rank - 2)
    return function(tf.pad(values, ends))[:, :rows]


def _second_product(w: _Weights, prompts: np.ndarray) -> np.ndarray:
    """[H/2, H/2 + K]: what makes the variance of a query, and what makes its scores."""
    output = w["query/output"]
    centred = output - output.mean(axis=1, keepdims=True)
    square = centred @ centred.T / output.shape[1]
    return np.concatenate([square, centred @ (w["query/scale"] * prompts).T], axis=1)


class ResidualBank(HeadBank):
    """Heads with an expert of their own.

    Standardised values are linear in what is standardised, but for the limits of x: scales are
    multiplied into the weights that follow, and means become biases. With s = mean_k(h_k * a_k) p,
    t = h_0 * a_0 and what their means become, c_s and c_t, the fusion is

        z = g_1 (s - c_s) + g_2 (t - c_t) = g_1 s + g_2 t - g_1 (c_s - c_t) - c_t

    so that g_1 itself is one more input of the tower. A value that is always 1 is another, and one
    of x: biases are rows of kernels.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        del prompts
        self._lowest = self._stack(weights, lambda w: _limits_of_x(w)[0])
        self._highest = self._stack(weights, lambda w: _limits_of_x(w)[1])
        self._first = self._stack(weights, _first_of_residual)
        # [K, N, 1, H]: the mean over the old tasks is a sum over what comes first.
        self._scale_specific = self._stack(weights, _scale_specific, axis=1)
        self._scale_shared = self._stack(weights, lambda w: w["standard_shared/scale"])
        self._mean_logits = self._stack(weights, lambda w: w["standard_logits/mean"].T)
        self._scale_logits = self._stack(weights, lambda w: w["standard_logits/scale"].T)
        self._kernel = self._stack(weights, _first_of_tower)
        if self._config.id_ranges:
            self._ids = self._stack(weights, lambda w: w["ids/weights"], axis=1)  # [V, N]

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        x = _and_one(encoded.x)
        x = tf.maximum(tf.minimum(x, self._highest), self._lowest)
        first = x @ self._first
        gate = _in_whole_vectors(tf.sigmoid, first[..., -1:])  # [N, B, 1]
        residual = tf.nn.relu(first[..., :-1])
        specific = tf.add_n(tf.unstack(encoded.specific[:, tf.newaxis] * self._scale_specific))
        shared = encoded.shared * self._scale_shared
        fused = shared + gate * (specific - shared)  # g_1 + g_2 = 1
        logits = (tf.transpose(encoded.logits) - self._mean_logits) * self._scale_logits
        logits = tf.clip_by_value(logits, -LOGITS_LIMIT, LOGITS_LIMIT)
        return tf.concat([fused, residual, _and_one(logits), gate], axis=2) @ self._kernel

    def _added(self, encoded: Encoded) -> tf.Tensor | float:
        if not self._config.id_ranges:
            return 0.0
        places = id_places(encoded.ids, self._config.id_ranges)
        rows, count = tf.unstack(tf.shape(places))
        row = tf.repeat(tf.range(rows), count)
        added = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=self._ids, indices=tf.reshape(places, [-1]), segment_ids=row, num_segments=rows
        )
        return tf.transpose(added)


def _and_one(values: tf.Tensor) -> tf.Tensor:
    """Adds a last dimension that is always 1."""
    ends = [[0, 0]] * (values.shape.rank - 1) + [[0, 1]]
    return tf.pad(values, ends, constant_values=1.0)


def _limits_of_x(w: _Weights) -> tuple[np.ndarray, np.ndarray]:
    """[1, D + 1] each; a dimension that says nothing is its mean."""
    scale = w["standard_x/scale"]
    limit = np.where(scale > 0, X_LIMIT / np.where(scale > 0, scale, 1.0), 0.0)
    mean = w["standard_x/mean"]
    return _row_and(mean - limit, 1.0), _row_and(mean + limit, 1.0)


def _row_and(row: np.ndarray, value: float) -> np.ndarray:
    return np.append(row, [[value]], axis=1)


def _first_of_residual(w: _Weights) -> np.ndarray:
    """[D + 1, m + 1]: the expert and the gate, of x and 1."""
    kernel = np.concatenate([w["expert/kernel_0"][0], _gate_difference(w)], axis=1)
    kernel = w["standard_x/scale"].T * kernel
    bias = _row_and(w["expert/bias_0"][0], 0.0) - w["standard_x/mean"] @ kernel
    return np.concatenate([kernel, bias])


def _scale_specific(w: _Weights) -> np.ndarray:
    """[K, 1, H]: what each specific representation counts for."""
    scale = w["standard_specific/scale"] * w["prompt/prompts"]
    return scale / len(scale)


def _first_of_tower(w: _Weights) -> np.ndarray:
    """[H + m + K + 2, units]: of z without its constants, the residual, the logits, 1 and g_1."""
    kernel = w["tower/kernel_0"][0]
    of_fused = kernel[: w["prompt/prompts"].shape[1]]
    specific = np.sum(w["standard_specific/mean"] * _scale_specific(w), axis=0)
    shared = w["standard_shared/mean"] * w["standard_shared/scale"]
    bias = w["tower/bias_0"][0] - shared @ of_fused
    return np.concatenate([kernel, bias, (shared - specific) @ of_fused])


def _gate_difference(w: _Weights) -> np.ndarray:
    """[D, 1]: softmax over two is a sigmoid of their difference."""
    return w["gate/kernel"][:, :1] - w["gate/kernel"][:, 1:]
