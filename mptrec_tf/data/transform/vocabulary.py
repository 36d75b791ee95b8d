"""The vocabulary of all categorical features: one file, one table, fitted in one Beam stage.

Each line is `feature<TAB>value`, and its number is the id. A feature's lines are consecutive, the
most frequent value first; its last line has no value and is the id of all other values. Values are
in their canonical form, and one of them may be `canonical.MISSING`. Other spellings are looked up
in a second step, which costs nothing if there are none.

TensorFlow Transform's own vocabularies are one per feature, each some hundred Beam stages: for the
28 features of Census-Income they made preparation four times as slow.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from mptrec_tf.data.features.categorical import Categorical

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
      [B, V] int64, each a line of the vocabulary file, counted from 0.
    """
    forms = canonical(values, tf.range(len(features)))
    [file] = tft.experimental.ptransform_analyzer(
        [forms], _Fit(features), [tf.string], [[]], [b"not fitted yet"]
    )
    prefixes = tf.constant([f"{feature.name}\t" for feature in features])

    def look_up(values: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A table that is created outside of the traced function is initialized once.
        eager = isinstance(file, str) or (tf.is_tensor(file) and hasattr(file, "numpy"))
        with tf.init_scope() if eager and tf.inside_function() else contextlib.nullcontext():
            lines = tf.lookup.TextFileInitializer(
                file,
                key_dtype=tf.string,
                key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
                value_dtype=tf.int64,
                value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
            )
            table = tf.lookup.StaticHashTable(lines, default_value=-1)

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

    Raises:
      ValueError: if the graph has no vocabulary.
    """
    values = read_vocabulary(transform)
    return {feature.name: len(values.get(feature.name, ())) for feature in features}


def read_vocabulary(transform: tft.TFTransformOutput) -> dict[str, list[str]]:
    """Returns the values of each feature, by name, in the order of the ids; the last one is empty.

    Raises:
      ValueError: if the graph has no vocabulary.
    """
    values: dict[str, list[str]] = {}
    for line in transform.vocabulary_by_name(FILE):
        name, _, value = line.partition(b"\t")
        values.setdefault(name.decode(), []).append(value.decode("utf-8", "replace"))
    return values


class _Fit(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values [n, V] into the path of a vocabulary file."""

    def __init__(self, features: Sequence[Categorical]):
        super().__init__()
        self._features = features

    def expand(self, pcoll):
        return (
            pcoll
            | "CountInBatch" >> beam.FlatMap(_count)
            | "Count" >> beam.CombinePerKey(sum)
            | "Frequent" >> beam.Filter(_has_id, self._features)
            | "Together" >> beam.GroupBy(lambda _: None)
            | "Write" >> beam.Map(_write, self.base_temp_dir, self._features)
        )


def _count(inputs: tuple[np.ndarray]) -> Iterator[tuple[tuple[int, bytes], int]]:
    """Yields ((feature, value), count) of one batch."""
    [values] = inputs
    for feature, column in enumerate(values.T):
        for value, count in Counter(column.tolist()).items():
            yield (feature, value), count


def _has_id(counted: tuple[tuple[int, bytes], int], features: Sequence[Categorical]) -> bool:
    """Whether a value gets an id: it is frequent, not empty, and has no line ends."""
    (feature, value), count = counted
    return count >= features[feature].min_count and value != b"" and not {10, 13} & set(value)


def _write(
    grouped: tuple[None, Iterable[tuple[tuple[int, bytes], int]]],
    directory: str,
    features: Sequence[Categorical],
) -> np.ndarray:
    values_of: list[list[tuple[int, bytes]]] = [[] for _ in features]
    for (feature, value), count in grouped[1]:
        values_of[feature].append((-count, value))
    tf.io.gfile.makedirs(directory)
    path = os.path.join(directory, FILE)
    with tf.io.gfile.GFile(path, "wb") as file:
        for feature, counted in zip(features, values_of, strict=True):
            for value in (*(value for _, value in sorted(counted)), b""):
                file.write(feature.name.encode() + b"\t" + value + b"\n")
    return np.array(path)
