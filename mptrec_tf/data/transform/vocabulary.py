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
from mptrec_tf.data.transform.vocabulary_file import FitVocabulary, make_table, read_vocabulary

FILE = "vocabulary"


def apply_vocabulary(
    features: Sequence[Categorical],
    values: tf.Tensor,
    canonical: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Fits the vocabulary on the training rows and looks values up; for a `preprocessing_fn`.

    Args:
      features: V features.
      values: [B, V] string.
      canonical: Returns the canonical forms of values [..., n] of the features [n], given as
        numbers below V; canonical forms are unchanged.

    Returns:
      [B, V] int64, each a line of the vocabulary file, counted from 0. A feature with
      `oov_buckets` has so many ids in the place of its last line, chosen by hash.
    """
    oov = np.array([feature.oov_buckets or 1 for feature in features], np.int64)
    forms = canonical(values, tf.range(len(features)))
    [file] = tft.experimental.ptransform_analyzer(
        [forms], FitVocabulary(FILE, features, _split), [tf.string], [[]], [b"not fitted yet"]
    )
    prefixes = tf.constant([f"{feature.name}\t" for feature in features])

    def look_up(values: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        table = make_table(file)

        def ids_of(prefixes: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
            prefixes = tf.broadcast_to(prefixes, tf.shape(values))
            return table.lookup(tf.strings.join([prefixes, values]))

        # An added row of empty values looks up the ids of unknown values.
        ids = ids_of(prefixes, tf.concat([values, tf.fill([1, len(features)], "")], axis=0))
        ids, unknown = ids[:-1], ids[-1:]
        # A value in the vocabulary is in its canonical form. Others are looked up again.
        others = tf.where((ids < 0) | (ids == unknown))
        columns = others[:, 1]
        forms = canonical(tf.gather_nd(values, others), columns)
        again = ids_of(tf.gather(prefixes, columns), forms)
        if (oov > 1).any():
            unknown_of = tf.gather(unknown[0], columns)
            buckets = tf.strings.to_hash_bucket_fast(forms, 2**62) % tf.gather(oov, columns)
            again = tf.where((again < 0) | (again == unknown_of), unknown_of + buckets, again)
            ids = tf.tensor_scatter_nd_update(ids, others, again)
            # Lines after those of earlier features, which have more ids than lines.
            return ids + (np.cumsum(oov) - oov - np.arange(len(oov))), table.size() + int(
                (oov - 1).sum()
            )
        ids = tf.tensor_scatter_nd_update(ids, others, again)
        return tf.where(ids < 0, unknown, ids), table.size()

    return tft.apply_vocabulary(values, file, lookup_fn=look_up)


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
