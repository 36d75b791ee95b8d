"""The vocabulary of all categorical features: one file, one table, fitted in one Beam stage.

The file is a `vocabulary_file`. Values are in their canonical form, and one of them may be
`canonical.MISSING`. Other spellings are looked up in a second step, which costs nothing if there
are none.

TensorFlow Transform's own vocabularies are one per feature, each some hundred Beam stages: for the
28 features of Census-Income they made preparation four times as slow.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.transform.shared_columns import join_columns
from mptrec_tf.data.transform.vocabulary_file import FitVocabulary, Lines, read_vocabulary

FILE = "vocabulary"


def apply_vocabulary(
    features: Sequence[Categorical],
    columns: Sequence[tf.Tensor],
    canonical: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Fits the vocabulary on the training rows and looks values up; for a `preprocessing_fn`.

    Args:
      features: V features.
      columns: Their values, [B] string each, or [1] of one that all rows share.
      canonical: Returns the canonical forms of values [n] of the features [n], given as numbers
        below V; canonical forms are unchanged.

    Returns:
      [B, V] int64, each a line of the vocabulary file, counted from 0. A feature with
      `oov_buckets` has so many ids in the place of its last line, chosen by hash.
    """
    oov = np.array([feature.oov_buckets or 1 for feature in features], np.int64)
    joined = join_columns(columns)
    feature_of = joined.column_of()
    forms = joined.spread(canonical(joined.values, feature_of))
    [file] = tft.experimental.ptransform_analyzer(
        [forms], FitVocabulary(FILE, features, _split), [tf.string], [[]], [b"not fitted yet"]
    )

    def look_up(values: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        table = Lines(file)
        ids = table.look_up(feature_of, values)
        # A value in the vocabulary is in its canonical form. Others are looked up again.
        others = tf.where((ids < 0) | (values == ""))

        def look_up_others() -> tf.Tensor:
            feature = tf.gather_nd(feature_of, others)
            forms = canonical(tf.gather_nd(values, others), feature)
            again = table.look_up(feature, forms)
            unknown = table.look_up(feature, tf.zeros_like(forms))
            is_unknown = (again < 0) | (again == unknown)
            if (oov > 1).any():
                buckets = tf.strings.to_hash_bucket_fast(forms, 2**62) % tf.gather(oov, feature)
                unknown += buckets
            return tf.tensor_scatter_nd_update(ids, others, tf.where(is_unknown, unknown, again))

        ids = tf.cond(tf.size(others) > 0, look_up_others, lambda: ids)
        # Lines after those of earlier features, which have more ids than lines.
        return ids + tf.gather(np.cumsum(oov - 1) - (oov - 1), feature_of), table.size() + int(
            (oov - 1).sum()
        )

    return joined.spread(tft.apply_vocabulary(joined.values, file, lookup_fn=look_up))


def get_vocabulary_size(transform: tft.TFTransformOutput) -> int:
    """Returns the number of ids in the vocabulary of a preprocessing graph.

    Raises:
      ValueError: if the graph has no vocabulary.
    """
    return transform.vocabulary_size_by_name(FILE)


def count_ids(transform: tft.TFTransformOutput, features: Sequence[Categorical]) -> dict[str, int]:
    """Returns the number of ids of each feature, by name, in the order of the ids.

    With `oov_buckets` it is larger than the feature's number of lines.

    Raises:
      ValueError: if the graph has no vocabulary.
    """
    values = read_vocabulary(transform, FILE)
    return {
        feature.name: len(values.get(feature.name, ())) + (feature.oov_buckets or 1) - 1
        for feature in features
    }


def _split(inputs: tuple[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each feature and its values in one batch."""
    [values] = inputs
    yield from enumerate(np.ascontiguousarray(values.T))
