"""Columns with several values in a row, in the preprocessing graph.

The values of all features and rows are one tensor [N], in the order of the rows and, in a row, of
the features: a few operations for all of them, without padding.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.lists import WEIGHT, ListFeature
from mptrec_tf.data.list_values import UNIT
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.canonical_graph import canonicalize_text
from mptrec_tf.data.transform.list_vocabulary import apply_vocabulary

_VECTOR = 16  # values in the widest registers


class Values(NamedTuple):
    """The values of F features of B rows; a cell is one feature of one row, B * F of them.

    Attributes:
      texts: [N] string, in canonical form.
      weights: [N] float32.
      cells: [N] int64, ascending. The cell of each value, row * F + feature.
      rows: [] int64. B.
      features: int. F.
    """

    texts: tf.Tensor
    weights: tf.Tensor
    cells: tf.Tensor
    rows: tf.Tensor
    features: int

    @property
    def feature_of(self) -> tf.Tensor:
        """The feature of each value, [N]."""
        return self.cells % self.features

    def lengths(self) -> tf.Tensor:
        """Returns how many values each cell has, [B, F] int64."""
        return tf.reshape(self.sum_cells(tf.ones_like(self.cells)), [-1, self.features])

    def sum_cells(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum [B * F] of [N] over each cell."""
        return tf.math.unsorted_segment_sum(values, self.cells, self.rows * self.features)

    def select(self, keep: tf.Tensor) -> "Values":
        """Returns the values of a mask [N]."""
        places = tf.where(keep)[:, 0]
        parts = (tf.gather(of, places) for of in (self.texts, self.weights, self.cells))
        return Values(*parts, self.rows, self.features)

    def by_row(self, tensors: Sequence[tf.Tensor]) -> list[tf.RaggedTensor]:
        """Returns tensors [N] as [B, any number]."""
        lengths = tf.reduce_sum(self.lengths(), axis=1)
        return [tf.RaggedTensor.from_row_lengths(of, lengths, validate=False) for of in tensors]


def split_texts(column: tf.Tensor, separator: str) -> tf.SparseTensor:
    """Returns the values of texts [B] of a request, [B, any number]; see `list_values`."""
    is_list = tf.strings.regex_full_match(column, f"(?s){UNIT}.*")
    with_units = tf.strings.regex_replace(column, _quote(separator), UNIT)
    # The blank text before the first unit is no value.
    return tf.strings.split(tf.where(is_list, column, with_units), UNIT).to_sparse()


def _quote(text: str) -> str:
    # RE2 takes no escapes of white space.
    return re.sub(r"([^\w\s])", r"\\\1", text)


def read_values(
    spec: DatasetSpec, features: Sequence[ListFeature], columns: Mapping[str, tf.SparseTensor]
) -> Values:
    """Returns the values of raw columns [B, any number] that count.

    Missing values are left out, and all but the first (or last) `most`. A cell without values gets
    one: `canonical.MISSING`.
    """
    ragged = tf.stack([_to_ragged(columns[f.name]) for f in features], axis=1).values
    texts, count = ragged.flat_values, len(features)
    cells = tf.cast(ragged.value_rowids(), tf.int64)
    rows = tf.cast(ragged.nrows(), tf.int64) // count
    values = Values(texts, tf.ones_like(texts, tf.float32), cells, rows, count)
    values = values.select(tf.logical_not(tf.strings.regex_full_match(texts, r"\s*")))
    if any(feature.has_weights for feature in features):
        values = _split_weights(features, values)
    forms = canonicalize_text(values.texts, spec.missing_values)
    if any(feature.exact for feature in features):
        exact = tf.gather([feature.exact for feature in features], values.feature_of)
        forms = tf.where(exact, values.texts, forms)
    values = values._replace(texts=forms)
    values = values.select((forms != MISSING) & (forms != ""))
    most = tf.constant([feature.most for feature in features], tf.int64)
    places = count_places(values)
    if features[0].counts_last:
        lengths = tf.reshape(values.lengths(), [-1])
        places = tf.gather(lengths, values.cells) - 1 - places
    values = values.select(places < tf.gather(most, values.feature_of))
    return _fill_empty(values)


def _to_ragged(column: tf.SparseTensor | tf.RaggedTensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_sparse(column) if isinstance(column, tf.SparseTensor) else column


def _split_weights(features: Sequence[ListFeature], values: Values) -> Values:
    weighted = tf.gather([feature.has_weights for feature in features], values.feature_of)
    fits = tf.strings.regex_full_match(values.texts, rf"(?s).*:\s*{WEIGHT}\s*")
    given = tf.strings.strip(tf.strings.regex_replace(values.texts, "(?s)^.*:", ""))
    # A text that is no number fails below, with a message that shows it.
    wrong = tf.strings.join(["value:weight instead of ", values.texts])
    weights = tf.strings.to_number(tf.where(weighted, tf.where(fits, given, wrong), "1"))
    texts = tf.strings.regex_replace(values.texts, r"(?s):[^:]*$", "")
    return values._replace(texts=tf.where(weighted, texts, values.texts), weights=weights)


def count_places(values: Values) -> tf.Tensor:
    """Returns each value's place in its cell, [N] from 0."""
    lengths = tf.reshape(values.lengths(), [-1])
    starts = tf.cumsum(lengths, exclusive=True)
    return tf.range(tf.size(values.cells, tf.int64)) - tf.gather(starts, values.cells)


def _fill_empty(values: Values) -> Values:
    """Adds a missing value to each cell without values."""
    empty = tf.where(tf.reshape(values.lengths(), [-1]) == 0)[:, 0]
    cells = tf.concat([values.cells, empty], axis=0)
    order = tf.argsort(cells, stable=True)
    texts = tf.concat([values.texts, tf.fill(tf.shape(empty), MISSING)], axis=0)
    weights = tf.concat([values.weights, tf.ones_like(empty, tf.float32)], axis=0)
    parts = (tf.gather(of, order) for of in (texts, weights, cells))
    return Values(*parts, values.rows, values.features)


def normalize(values: Values, pools: Sequence[str]) -> tf.Tensor:
    """Returns the factors [N] of pooling, see `bags`; 0 where all weights of a cell are 0."""
    is_mean = tf.gather([pool == "mean" for pool in pools], values.feature_of)
    is_sum = tf.gather([pool == "sum" for pool in pools], values.feature_of)
    total = values.sum_cells(values.weights)
    squares = values.sum_cells(tf.square(values.weights))
    # Eigen computes roots of whole vector registers in another way than those that remain at the
    # end, and a row's bits must not depend on how many others are in the batch.
    count = tf.size(squares)
    root = tf.sqrt(tf.pad(squares, [[0, -count % _VECTOR]]))[:count]
    norm = tf.where(is_mean, tf.gather(total, values.cells), tf.gather(root, values.cells))
    return tf.math.divide_no_nan(values.weights, tf.where(is_sum, 1.0, norm))


def look_up(file: str, features: Sequence[ListFeature], values: Values) -> tf.Tensor:
    """Fits the vocabulary and returns the ids [N] int64, hashed features' first.

    Args:
      file: The name of the vocabulary's file.
      features: The F features of `values`.
      values: The values.
    """
    buckets = [feature.hash_buckets for feature in features]
    hashed = [of or 0 for of in buckets]
    offsets = tf.constant([sum(hashed[:i]) for i in range(len(hashed))], tf.int64)
    feature_of = values.feature_of
    ids = tf.strings.to_hash_bucket_fast(values.texts, 2**62)
    ids %= tf.gather(tf.constant([of or 1 for of in buckets], tf.int64), feature_of)
    ids += tf.gather(offsets, feature_of)
    known = [feature for feature in features if feature.hash_buckets is None]
    if not known:
        return ids
    places = tf.where(tf.gather([of is None for of in buckets], feature_of))
    # The number of each feature among those with a vocabulary.
    number = tf.constant([sum(of is None for of in buckets[:i]) for i in range(len(buckets))])
    looked_up = apply_vocabulary(
        file,
        known,
        tf.gather_nd(values.texts, places),
        tf.gather(number, tf.gather_nd(feature_of, places)),
    )
    return tf.tensor_scatter_nd_update(ids, places, looked_up + sum(hashed))
