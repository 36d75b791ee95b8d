"""Parses raw columns from serialized tf.Examples of any type: int64, bytes or float.

`tf.io.parse_example` accepts one type per feature. A model whose training rows were tf.Examples
with another type than a feature's own accepts all types, by a general decoder that takes about
twice the time.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.canonical_graph import format_numbers

_LISTS = {
    "bytes_list": ("tensorflow.BytesList", tf.string),
    "float_list": ("tensorflow.FloatList", tf.float32),
    "int64_list": ("tensorflow.Int64List", tf.int64),
}


class ExampleParser(tf.Module):
    """Parses serialized tf.Examples [B] into the raw columns [B] of the features, by name.

    Text is string and numbers are float32. Examples may have them in any type if the training rows
    had another type than the feature's own (`example_types` of the spec).

    Args:
      spec: Describes the features.
    """

    def __init__(self, spec: DatasetSpec):
        super().__init__()
        self._features = raw_feature_spec(spec)
        self._any_type = bool(spec.example_types)
        if self._any_type:
            names = tf.constant(list(self._features))
            columns = tf.lookup.KeyValueTensorInitializer(names, tf.range(len(self._features)))
            self._columns = tf.lookup.StaticHashTable(columns, -1)

    def __call__(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses examples [B].

        Raises:
          tf.errors.InvalidArgumentError: for an example without exactly one value of each feature.
        """
        if not self._any_type:
            return tf.io.parse_example(serialized, self._features)
        by_type = _decode_values(serialized, list(self._features), self._columns)
        columns = {}
        for column, (name, feature) in enumerate(self._features.items()):
            values = {kind: of[:, column] for kind, of in by_type.items()}
            to_column = _to_text if feature.dtype == tf.string else _to_number
            columns[name] = to_column(values)
        return columns


def _decode_values(
    serialized: tf.Tensor, names: list[str], columns: tf.lookup.StaticHashTable
) -> Mapping[str, tf.Tensor]:
    """Returns values [B, F] by type, and as `kind` the index [B, F] into `_LISTS` of the type."""
    rows = tf.size(serialized)
    [features] = _decode(serialized, "tensorflow.Example", {"features": tf.string})
    sizes, [entries] = _decode_lists(features[:, 0], "tensorflow.Features", {"feature": tf.string})
    row_of = tf.repeat(tf.range(rows), sizes[:, 0])
    entries = tf.boolean_mask(entries, tf.sequence_mask(sizes[:, 0], tf.shape(entries)[1]))
    key, value = _decode(
        entries, "tensorflow.Features.FeatureEntry", {"key": tf.string, "value": tf.string}
    )
    column_of = columns.lookup(key[:, 0])
    used = tf.where(column_of >= 0)[:, 0]
    places = tf.stack([tf.gather(row_of, used), tf.gather(column_of, used)], axis=1)
    shape = tf.stack([rows, len(names)])
    given = tf.scatter_nd(places, tf.ones_like(used, tf.int32), shape)
    lists = _decode(
        tf.gather(value[:, 0], used), "tensorflow.Feature", dict.fromkeys(_LISTS, tf.string)
    )
    by_type, counts, kinds = {}, [], []
    for number, ((kind, (message, dtype)), content) in enumerate(
        zip(_LISTS.items(), lists, strict=True)
    ):
        sizes, [values] = _decode_lists(content[:, 0], message, {"value": dtype})
        # If no list of the type has a value, `values` has no column.
        first = tf.concat([values, _empty([tf.shape(values)[0], 1], dtype)], axis=1)[:, 0]
        by_type[kind] = tf.tensor_scatter_nd_update(_empty(shape, dtype), places, first)
        counts.append(sizes[:, 0])
        kinds.append(tf.where(sizes[:, 0] > 0, number, 0))
    count = tf.scatter_nd(places, tf.add_n(counts), shape)
    bad = tf.where((given != 1) | (count != 1))
    names_of_bad = tf.gather(tf.constant(names), bad[:, 1])
    check = tf.debugging.Assert(
        tf.size(bad) == 0, ["each example needs exactly one value of the features:", names_of_bad]
    )
    with tf.control_dependencies([check]):
        by_type["kind"] = tf.scatter_nd(places, tf.add_n(kinds), shape)
    return by_type


def _decode(messages: tf.Tensor, message: str, fields: Mapping[str, tf.DType]) -> list[tf.Tensor]:
    """Returns fields of one value of serialized messages [n], [n, 1] each; missing ones empty."""
    _, values = _decode_lists(messages, message, fields)
    # If no message has a field, it has no column.
    return [tf.concat([v, _empty([tf.shape(v)[0], 1], v.dtype)], axis=1)[:, :1] for v in values]


def _decode_lists(
    messages: tf.Tensor, message: str, fields: Mapping[str, tf.DType]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the sizes [n, fields] of fields of messages [n], and the values [n, most] each."""
    # The op needs at least one message, and a batch may have none: adds an empty one.
    sizes, values = tf.io.decode_proto(
        tf.concat([messages, [b""]], axis=0), message, list(fields), list(fields.values())
    )
    return sizes[:-1], [of[:-1] for of in values]


def _empty(shape, dtype: tf.DType) -> tf.Tensor:
    return tf.fill(shape, "") if dtype == tf.string else tf.zeros(shape, dtype)


def _to_text(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    as_text = tf.where(
        values["kind"] == 1,
        format_numbers(values["float_list"]),
        tf.strings.as_string(values["int64_list"]),
    )
    return tf.where(values["kind"] == 0, values["bytes_list"], as_text)


def _to_number(values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    as_text = tf.where(values["kind"] == 0, values["bytes_list"], "0")
    as_number = tf.where(
        values["kind"] == 1, values["float_list"], tf.cast(values["int64_list"], tf.float32)
    )
    return tf.where(values["kind"] == 0, tf.strings.to_number(tf.strings.strip(as_text)), as_number)
