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
        layers = range(len(config.tower_units) + 1)
        self._kernels, self._biases = (
            [self._stack(weights, lambda w, name=f"tower/{what}_{i}": w[name][0]) for i in layers]
            for what in ("kernel", "bias")
        )

    @staticmethod
    def _stack(
        weights: Sequence[_Weights], function: Callable[[_Weights], np.ndarray], axis: int = 0
    ) -> tf.Variable:
        """One variable of what a function makes of each head's weights."""
        values = np.stack([function(w) for w in weights], axis)
        return tf.Variable(values.astype(np.float32), trainable=False)

    def __call__(self, encoded: Encoded) -> dict[str, tf.Tensor]:
        """Returns the probabilities [B] by task, for what the backbone says of a batch."""
        h, added = self._tower_input(encoded)
        for kernel, bias in zip(self._kernels[:-1], self._biases[:-1], strict=True):
            h = tf.nn.relu(h @ kernel + bias)
        logits = tf.squeeze(h @ self._kernels[-1] + self._biases[-1], axis=2)
        if added is not None:
            logits += added
        answers = tf.unstack(_in_whole_vectors(tf.sigmoid, logits), num=self._count)
        return dict(zip(self.tasks, answers, strict=False))


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

    def _first_product(self, w: _Weights) -> np.ndarray:
        hidden = [w["query/hidden"]] if self._config.attention == "prompt" else []
        return np.concatenate([*hidden, _gate_difference(w)], axis=1)

    def _tower_input(self, encoded: Encoded) -> tuple[tf.Tensor, None]:
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
        return mixed + (1 - gate) * encoded.shared, None


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

    What scales the standardised values is multiplied into what they are multiplied by; the means
    are taken off before, since a value may be large beside its deviation.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        count = len(prompts)
        self._mean_x = self._stack(weights, lambda w: w["standard_x/mean"])
        self._limit_x = self._stack(weights, lambda w: _limit(w["standard_x/scale"]))
        self._first = self._stack(weights, _first_of_residual)
        self._expert_bias = self._stack(weights, lambda w: w["expert/bias_0"][0])
        self._mean_shared = self._stack(weights, lambda w: w["standard_shared/mean"])
        self._scale_shared = self._stack(weights, lambda w: w["standard_shared/scale"])
        # [K, N, 1, H]: the mean over the old tasks is a sum over what comes first.
        self._mean_specific = self._stack(weights, lambda w: w["standard_specific/mean"], axis=1)
        self._scale_specific = self._stack(
            weights, lambda w: w["standard_specific/scale"] * w["prompt/prompts"] / count, axis=1
        )
        self._mean_logits = self._stack(weights, lambda w: w["standard_logits/mean"].T)
        self._scale_logits = self._stack(weights, lambda w: w["standard_logits/scale"].T)
        if self._config.id_ranges:
            self._ids = self._stack(weights, lambda w: w["ids/weights"], axis=1)  # [V, N]

    def _tower_input(self, encoded: Encoded) -> tuple[tf.Tensor, tf.Tensor | None]:
        x = tf.clip_by_value(encoded.x - self._mean_x, -self._limit_x, self._limit_x)
        first = x @ self._first
        gate = _in_whole_vectors(tf.sigmoid, first[..., -1:])  # [N, B, 1]
        residual = tf.nn.relu(first[..., :-1] + self._expert_bias)
        specific = (encoded.specific[:, tf.newaxis] - self._mean_specific) * self._scale_specific
        shared = (encoded.shared - self._mean_shared) * self._scale_shared
        fused = tf.add_n(tf.unstack(specific)) * gate + shared * (1 - gate)
        logits = (tf.transpose(encoded.logits) - self._mean_logits) * self._scale_logits
        logits = tf.clip_by_value(logits, -LOGITS_LIMIT, LOGITS_LIMIT)
        added = None
        if self._config.id_ranges:
            places = id_places(encoded.ids, self._config.id_ranges)
            added = tf.transpose(tf.reduce_sum(tf.gather(self._ids, places), axis=1))
        return tf.concat([fused, residual, logits], axis=2), added


def _limit(scale: np.ndarray) -> np.ndarray:
    """Where the distance from the mean is cut; a dimension that says nothing is 0."""
    return np.where(scale > 0, X_LIMIT / np.where(scale > 0, scale, 1.0), 0.0)


def _first_of_residual(w: _Weights) -> np.ndarray:
    """[D, m + 1]: the expert's kernel and the gate's, times the scale of x."""
    kernels = [w["expert/kernel_0"][0], _gate_difference(w)]
    return w["standard_x/scale"].T * np.concatenate(kernels, axis=1)


def _gate_difference(w: _Weights) -> np.ndarray:
    """[D, 1]: softmax over two is a sigmoid of their difference."""
    return w["gate/kernel"][:, :1] - w["gate/kernel"][:, 1:]
