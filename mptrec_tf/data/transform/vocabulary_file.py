"""The file of a vocabulary of several features: how it is fitted, read and looked up.

Each line is `feature<TAB>value`, and its number is the id. A feature's lines are consecutive, the
most frequent value first; its last line has no value and is the id of all other values.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from mptrec_tf.data.transform.category_counts import CategoryCounts

# 2^64 divided by the golden ratio, as a signed number.
_SPREAD = 0x9E3779B97F4A7C15 - 2**64


class Lines:
    """The table of a vocabulary's lines in a graph, for a `lookup_fn`.

    Values are looked up by 64-bit fingerprints: to join a feature's name with a value takes many
    times as long as the lookup itself. By chance one in 10^12 unknown values has the fingerprint of
    a line, of a file with ten million.

    Args:
      file: The path of the file.
    """

    def __init__(self, file: tf.Tensor | str):
        # A table that is created outside of the traced function is initialized once.
        eager = isinstance(file, str) or (tf.is_tensor(file) and hasattr(file, "numpy"))
        with tf.init_scope() if eager and tf.inside_function() else contextlib.nullcontext():
            self._table = tf.lookup.StaticHashTable(_ReadLines(file), default_value=-1)

    def look_up(self, feature_of: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Returns the numbers [...] of lines, counted from 0; -1 for what has none.

        Args:
          feature_of: [...] int32. The features' places in the file, counted from 0.
          values: [...] string. Their values; empty for the feature's last line.
        """
        return self._table.lookup(_fingerprint(feature_of, values))

    def size(self) -> tf.Tensor:
        """Returns the number of lines, [] int64."""
        return self._table.size()


class _ReadLines(tf.lookup.TextFileInitializer):
    """Fills a table with the fingerprints and the numbers of a file's lines."""

    def __init__(self, file: tf.Tensor | str):
        # Of the base class only the file counts: that it is an asset of SavedModels.
        super().__init__(file, tf.int64, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)

    @property
    def _shared_name(self) -> str:
        return f"fingerprints of {super()._shared_name}"

    def initialize(self, table: tf.lookup.StaticHashTable) -> tf.Operation:
        lines = tf.strings.split([tf.io.read_file(self._filename)], "\n").values
        lines = tf.boolean_mask(lines, lines != "")  # none follows the last line's end
        values = tf.strings.regex_replace(lines, "^[^\t]*\t", "", replace_global=False)
        # A feature ends with its line without a value.
        feature_of = tf.cumsum(tf.cast(values == "", tf.int32), exclusive=True)
        return tf.raw_ops.InitializeTableV2(
            table_handle=table.resource_handle,
            keys=_fingerprint(feature_of, values),
            values=tf.range(tf.size(lines, tf.int64)),
        )


def _fingerprint(feature_of: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    of_values = tf.strings.to_hash_bucket_fast(values, 2**63 - 1)
    # The feature is spread over all bits, as the fingerprint of the same value of another feature
    # should be unlike it.
    return tf.bitwise.bitwise_xor(of_values, tf.cast(feature_of + 1, tf.int64) * _SPREAD)


def read_vocabulary(transform: tft.TFTransformOutput, name: str) -> dict[str, list[str]]:
    """Returns the values of each feature, by name, in the order of the ids; the last one is empty.

    Raises:
      ValueError: if the graph has no such vocabulary.
    """
    values: dict[str, list[str]] = {}
    for line in transform.vocabulary_by_name(name):
        feature, _, value = line.partition(b"\t")
        values.setdefault(feature.decode(), []).append(value.decode("utf-8", "replace"))
    return values


class FitVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values into the path of a vocabulary file, in one Beam stage.

    Args:
      name: The file's name.
      features: V features with a name and a `min_count`.
      split: Yields a feature, as a number below V, and its values in a batch, an object array [n]
        of bytes; a feature may come more than once, or not.
    """

    def __init__(
        self,
        name: str,
        features: Sequence[Any],
        split: Callable[[Any], Iterator[tuple[int, np.ndarray]]],
    ):
        super().__init__()
        self._name = name
        self._features = features
        self._split = split

    def expand(self, pcoll):
        """Returns the path of the file, of batches of values."""
        return (
            pcoll
            | "ByFeature" >> beam.FlatMap(self._split)
            | "Count" >> beam.CombinePerKey(_Count())
            | "Lines" >> beam.Map(_make_lines, self._features)
            | "Together" >> beam.combiners.ToList()  # an empty list, if there are none
            | "Write" >> beam.Map(_write, self.base_temp_dir, self._name, self._features)
        )


class _Count(beam.CombineFn):
    """Counts the values of batches, object arrays [n] of bytes."""

    def create_accumulator(self):
        return CategoryCounts()

    def add_input(self, accumulator, values):
        accumulator.add(values)
        return accumulator

    def merge_accumulators(self, accumulators):
        merged, *others = accumulators
        for other in others:
            merged.merge(*other.counted())
        return merged

    def extract_output(self, accumulator):
        return accumulator


def _make_lines(counted: tuple[int, CategoryCounts], features: Sequence[Any]) -> tuple[int, bytes]:
    """Returns a feature and its lines, of values that are frequent, not empty, and of one line."""
    feature, counts = counted
    values, _ = counts.most_frequent(features[feature].min_count)
    has_line = pc.match_substring_regex(values, r"^[^\r\n]+$")
    name = features[feature].name.encode()
    return feature, b"".join(
        name + b"\t" + value.as_py() + b"\n" for value in values.filter(has_line)
    )


def _write(
    lines: Sequence[tuple[int, bytes]], directory: str, name: str, features: Sequence[Any]
) -> np.ndarray:
    tf.io.gfile.makedirs(directory)
    path = os.path.join(directory, name)
    lines_of = dict(lines)
    with tf.io.gfile.GFile(path, "wb") as file:
        for number, feature in enumerate(features):
            file.write(lines_of.get(number, b"") + feature.name.encode() + b"\t\n")
    return np.array(path)
