"""Heads of one shape as one batched computation, for models that answer many tasks.

The equations are those of `heads` and `residual`, rewritten for requests of a few hundred rows,
where passes over [N, B, H] cost as much as products: what is linear is multiplied out beforehand,
and no pass is made that a product can take over. Passes that widen both of their operands, as
[1, B, H] * [N, 1, H], are the dearest.

What a task answers does not depend, to the last bit, on the tasks that it shares a bank with. All
products are batched by head, or by 16 heads that fill a vector register. TensorFlow multiplies a
batch of one in another way than larger ones: a head that is alone stands in its bank twice. It
takes exponentials of whole vector registers in another way than those of the rest: see
`_in_whole_vectors`. And it changes the order of products of several factors, or of sums, that widen
each other: here are none.
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

    def __call__(self, encoded: Encoded) -> dict[str, tf.Tensor]:
        """Returns the probabilities [B] by task, for what the backbone says of a batch."""
        h = self._first_layer(encoded)
        # relu(h + b) = max(h, -b) + b, and this b goes with the bias of the layer that follows.
        for low, kernel in zip(self._lows, self._kernels, strict=True):
            h = tf.maximum(h, low) @ kernel
        logits = tf.squeeze(h + self._last, axis=2) + self._added(encoded)
        answers = tf.unstack(_in_whole_vectors(tf.sigmoid, logits), num=self._count)
        return dict(zip(self.tasks, answers, strict=False))

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        """Makes the variables of `_first_layer` and `_added`."""
        raise NotImplementedError

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        """Returns [N, B, units]: the tower's first layer before activation, without its bias."""
        raise NotImplementedError

    def _left_out_first(self, w: _Weights) -> np.ndarray:
        """[1, units]: that bias."""
        return _of_tower("bias", 0)(w)

    def _added(self, encoded: Encoded) -> tf.Tensor | float:
        """Returns what is added to the logits [N, B]."""
        del encoded
        return 0.0


def _of_tower(what: str, layer: int) -> Callable[[_Weights], np.ndarray]:
    return lambda w: w[f"tower/{what}_{layer}"][0]


class PromptBank(HeadBank):
    """The paper's heads.

    With v = relu(x U_1), the query before its normalisation is v U_2. Its mean over the H
    dimensions is taken out of U_2 beforehand: C = U_2 (I - 1 1^T / H). Then

        variance = |v C|^2 / H
        scores   = v C (scale * p_k) / sqrt(variance + epsilon) + shift . p_k

    so that no query is made; |v C| is as long as its product with R^T, for C^T = Q R. A gate of
    two is a sigmoid of the difference. All gates of 16 heads are one product.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        tau = self._config.tau
        self._prompts = self._stack(weights, lambda w: w["prompt/prompts"])
        if self._config.attention == "fixed":
            self._shift = self._stack(weights, lambda w: np.zeros((len(prompts), 1)), 1)
        elif self._config.attention == "task_similarity":
            self._shift = self._stack(weights, lambda w: prompts @ w["prompt/prompts"].T / tau, 1)
        else:
            self._shift = self._stack(
                weights, lambda w: prompts @ w["query/shift"][:, None] / tau, 1
            )
            self._hidden = self._stack(weights, lambda w: w["query/hidden"])
            self._second = self._stack(weights, lambda w: _second_product(w, prompts / tau))
        self._gates = self._by_vectors(weights, _gate_difference)
        self._kernel = self._stack(weights, _of_tower("kernel", 0))

    def _by_vectors(
        self, weights: Sequence[_Weights], function: Callable[[_Weights], np.ndarray]
    ) -> tf.Variable:
        """[G, D, 16]: columns [D, 1] of 16 heads each, and of none."""
        columns = np.concatenate([function(w) for w in weights], axis=1)
        groups = max(2, -(-columns.shape[1] // _VECTOR))
        columns = np.pad(columns, [[0, 0], [0, groups * _VECTOR - columns.shape[1]]])
        return self._stack(np.split(columns, groups, axis=1), lambda column: column)

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        gate = tf.transpose(encoded.x[tf.newaxis] @ self._gates, [0, 2, 1])  # [G, 16, B]
        gate = tf.reshape(gate, [-1, tf.shape(gate)[2]])[: self._count]
        gate = _in_whole_vectors(tf.sigmoid, gate)  # [N, B]
        if self._config.attention != "prompt":
            scores = self._shift + tf.zeros_like(gate)  # [K, N, B]
        else:
            v = tf.nn.relu(encoded.x[tf.newaxis] @ self._hidden)
            second = v @ self._second
            width = v.shape[2]
            variance = tf.reduce_sum(tf.square(second[..., :width]), axis=2)
            plain = tf.transpose(second[..., width:], [2, 0, 1])
            scores = plain * _in_whole_vectors(tf.math.rsqrt, variance + EPSILON) + self._shift
        # A softmax over the old tasks.
        weights = _in_whole_vectors(tf.exp, scores - tf.reduce_max(scores, axis=0))
        weights /= tf.reduce_sum(weights, axis=0)
        mixed = tf.einsum("knb,kbh->nbh", weights, encoded.specific) * self._prompts
        fused = encoded.shared + gate[..., tf.newaxis] * (mixed - encoded.shared)
        return fused @ self._kernel


def _in_whole_vectors(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Applies a function of single values to [..., B], with B filled up to whole vectors."""
    rows = tf.shape(values)[-1]
    ends = [[0, 0]] * (values.shape.rank - 1) + [[0, -rows % _VECTOR]]
    return function(tf.pad(values, ends))[..., :rows]


def _second_product(w: _Weights, prompts: np.ndarray) -> np.ndarray:
    """[H/2, H/2 + K]: what makes the variance of a query, and what makes its scores."""
    output = w["query/output"]
    centred = output - output.mean(axis=1, keepdims=True)
    # The same lengths as of the products with `centred`, in fewer dimensions.
    lengths = np.linalg.qr(centred.T, "r").T / np.sqrt(output.shape[1])
    return np.concatenate([lengths, centred @ (w["query/scale"] * prompts).T], axis=1)


class ResidualBank(HeadBank):
    """Heads with an expert of their own.

    But for the limits of x, standardised values are linear in what is standardised: scales are
    multiplied into the weights that follow, and means become biases. With s = mean_k(h_k a_k) p and
    t = h_0 a_0 for scales a, and c_s and c_t for what their means become, the fusion is

        z = g_1 (s - c_s) + g_2 (t - c_t) = t + g_1 (s - t) - c_t - g_1 (c_s - c_t)

    so that g_1 is one more input of the tower. Values are scaled and limited once for all heads of
    the same statistics, as those of one data set have.
    """

    def _fold(self, weights: Sequence[_Weights], prompts: np.ndarray) -> None:
        del prompts
        statistics = [_statistics(w) for w in weights]
        distinct = list(dict.fromkeys(statistics))
        self._statistics_of = tuple(distinct.index(own) for own in statistics)
        firsts = [weights[statistics.index(own)] for own in distinct]
        self._lowest = self._stack(firsts, lambda w: w["standard_x/mean"] - _limit_of_x(w))
        self._highest = self._stack(firsts, lambda w: w["standard_x/mean"] + _limit_of_x(w))
        # [K, S, 1, H]: the mean over the old tasks is a sum over what comes first.
        self._scale_specific = self._stack(firsts, _scale_specific, axis=1)
        self._scale_shared = self._stack(firsts, lambda w: w["standard_shared/scale"])
        self._first = self._stack(weights, _first_of_residual)
        self._low = self._stack(weights, lambda w: _row_and(-_bias_of_residual(w)[:, :-1], 0.0))
        self._gate_bias = self._stack(weights, lambda w: _bias_of_residual(w)[0, -1:])
        self._prompts = self._stack(weights, lambda w: w["prompt/prompts"])
        self._mean_logits = self._stack(weights, lambda w: w["standard_logits/mean"].T)
        self._scale_logits = self._stack(weights, lambda w: w["standard_logits/scale"].T)
        self._kernel = self._stack(weights, self._first_of_tower)
        if self._config.id_ranges:
            self._ids = self._stack(weights, lambda w: w["ids/weights"], axis=1)  # [V, N]

    def _for_heads(self, values: tf.Tensor) -> tf.Tensor:
        """[N, ...], or [1, ...] where that is the same, of values by statistics [S, ...]."""
        count = max(self._statistics_of) + 1
        return tf.gather(values, self._statistics_of) if 1 < count < self._count else values

    def _first_layer(self, encoded: Encoded) -> tf.Tensor:
        x = tf.maximum(tf.minimum(encoded.x, self._highest), self._lowest)  # [S, B, D]
        first = self._for_heads(x) @ self._first  # [N, B, m + 1]
        gate = _in_whole_vectors(tf.sigmoid, first[..., -1] + self._gate_bias)[..., tf.newaxis]
        specific = tf.add_n(tf.unstack(encoded.specific[:, tf.newaxis] * self._scale_specific))
        specific = self._for_heads(specific) * self._prompts
        shared = self._for_heads(encoded.shared * self._scale_shared)
        fused = shared + gate * (specific - shared)
        logits = (tf.transpose(encoded.logits) - self._mean_logits) * self._scale_logits
        logits = tf.clip_by_value(logits, -LOGITS_LIMIT, LOGITS_LIMIT)
        # The gate's own column among the residuals is multiplied by 0: to cut it off costs more.
        residual = tf.maximum(first, self._low)
        return tf.concat([fused, residual, logits, gate], axis=2) @ self._kernel

    def _first_of_tower(self, w: _Weights) -> np.ndarray:
        """[H + m + 1 + K + 1, units]."""
        kernel = _of_tower("kernel", 0)(w)
        specific, shared = _means_of_fused(w)
        ends = np.cumsum([specific.shape[1], self._config.expert_units])
        fused, residual, logits = np.split(kernel, ends)
        nothing = np.zeros_like(kernel[:1])
        return np.concatenate([fused, residual, nothing, logits, (shared - specific) @ fused])

    def _left_out_first(self, w: _Weights) -> np.ndarray:
        _, shared = _means_of_fused(w)
        known = np.concatenate([-shared, _bias_of_residual(w)[:, :-1]], axis=1)
        return super()._left_out_first(w) + known @ _of_tower("kernel", 0)(w)[: known.shape[1]]

    def _added(self, encoded: Encoded) -> tf.Tensor | float:
        if not self._config.id_ranges:
            return 0.0
        places = id_places(encoded.ids, self._config.id_ranges)
        rows, count = tf.unstack(tf.shape(places))
        # A sum that makes no copy of what it adds.
        added = tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=self._ids,
            indices=tf.reshape(places, [-1]),
            segment_ids=tf.repeat(tf.range(rows), count),
            num_segments=rows,
        )
        return tf.transpose(added)


def _statistics(w: _Weights) -> tuple[bytes, ...]:
    return tuple(
        w[f"standard_{of}/{what}"].tobytes()
        for of in ("x", "shared", "specific")
        for what in ("mean", "scale")
    )


def _row_and(row: np.ndarray, value: float) -> np.ndarray:
    return np.append(row, [[value]], axis=1)


def _limit_of_x(w: _Weights) -> np.ndarray:
    """[1, D]: how far from the mean x is cut; a dimension that says nothing is its mean."""
    scale = w["standard_x/scale"]
    return np.where(scale > 0, X_LIMIT / np.where(scale > 0, scale, 1.0), 0.0)


def _first_of_residual(w: _Weights) -> np.ndarray:
    """[D, m + 1]: the expert's kernel and the gate's, times the scale of x."""
    kernels = [w["expert/kernel_0"][0], _gate_difference(w)]
    return w["standard_x/scale"].T * np.concatenate(kernels, axis=1)


def _bias_of_residual(w: _Weights) -> np.ndarray:
    """[1, m + 1]: likewise, with what the means of x become."""
    return _row_and(w["expert/bias_0"][0], 0.0) - w["standard_x/mean"] @ _first_of_residual(w)


def _scale_specific(w: _Weights) -> np.ndarray:
    """[K, 1, H]."""
    return w["standard_specific/scale"] / len(w["standard_specific/scale"])


def _means_of_fused(w: _Weights) -> tuple[np.ndarray, np.ndarray]:
    """c_s and c_t, [1, H] each."""
    specific = np.sum(w["standard_specific/mean"] * _scale_specific(w), axis=0)
    return specific * w["prompt/prompts"], w["standard_shared/mean"] * w["standard_shared/scale"]


def _gate_difference(w: _Weights) -> np.ndarray:
    """[D, 1]: softmax over two is a sigmoid of their difference."""
    return w["gate/kernel"][:, :1] - w["gate/kernel"][:, 1:]
