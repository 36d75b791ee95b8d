"""Sequences in the preprocessing graph: their last values, and what they are compared with."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.canonical_graph import canonicalize_text
from mptrec_tf.data.transform.list_graph import Values, count_places


def take_last(values: Values, last: Sequence[int | None]) -> Values:
    """Returns exactly so many values of each sequence, the last ones; others are unchanged.

    The missing value stands before fewer ones.

    Args:
      values: The values.
      last: How many, by feature; None: all.
    """
    if all(of is None for of in last):
        return values
    wanted = tf.constant([of or 0 for of in last], tf.int64)
    left = tf.reshape(values.lengths(), [-1])
    from_end = tf.gather(left, values.cells) - count_places(values)
    of_value = tf.gather(wanted, values.feature_of)
    values = values.select((from_end <= of_value) | (of_value == 0))
    lacking = tf.maximum(tf.constant(0, tf.int64), wanted - values.lengths())
    cells = tf.repeat(tf.range(values.rows * values.features), tf.reshape(lacking, [-1]))
    return _put_first(values, tf.fill(tf.shape(cells), MISSING), cells)


def add_queries(
    spec: DatasetSpec,
    features: Sequence[ValueSequence],
    values: Values,
    columns: Mapping[str, tf.Tensor],
) -> Values:
    """Puts the value of the column that a sequence attends to before the sequence's own."""
    attended = [i for i, feature in enumerate(features) if feature.attend_to]
    if not attended:
        return values
    texts = tf.stack([columns[features[i].attend_to] for i in attended], axis=1)
    exact = [features[i].exact for i in attended]
    forms = canonicalize_text(texts, spec.missing_values)
    if any(exact):
        forms = tf.where(exact, texts, forms)
    rows = tf.range(values.rows)[:, tf.newaxis] * values.features
    cells = rows + tf.constant(attended, tf.int64)
    return _put_first(values, tf.reshape(forms, [-1]), tf.reshape(cells, [-1]))


def _put_first(values: Values, texts: tf.Tensor, cells: tf.Tensor) -> Values:
    """Adds values [M] in ascending cells [M] before those that their cells have."""
    cells = tf.concat([cells, values.cells], axis=0)
    order = tf.argsort(cells, stable=True)
    texts = tf.gather(tf.concat([texts, values.texts], axis=0), order)
    return values._replace(
        texts=texts, weights=tf.ones_like(texts, tf.float32), cells=tf.gather(cells, order)
    )
