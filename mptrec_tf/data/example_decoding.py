"""Parses raw columns from serialized tf.Examples of any type: int64, bytes or float.

`tf.io.parse_example` accepts one type per feature. A model whose training rows were tf.Examples
with another type than a feature's own accepts all types, by a general decoder that takes about
twice the time.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.canonical_graph import canonicalize_text, format_numbers

_LISTS = {
    "bytes_list": ("tensorflow.BytesList", tf.string),
    "float_list": ("tensorflow.FloatList", tf.float32),
    "int64_list": ("tensorflow.Int64List", tf.int64),
}


class ExampleParser(tf.Module):
    """Parses serialized tf.Examples [B] into the raw columns of the features, by name.

    Columns are as `tf.io.parse_example` returns them for `raw_feature_spec`: [B], [B, n], or
    SparseTensors where rows have any number of values.

    Text is string and numbers are float32; a number that may be missing is NaN where an example has
    no value, or not the feature at all. Examples may have them in any type if the training rows
    had another type than the feature's own (`example_types` of the spec).

    Args:
      spec: Describes the features.
    """

    def __init__(self, spec: DatasetSpec):
        super().__init__()
        self._features = raw_feature_spec(spec)
        self._missing_values = spec.missing_values
        self._optional = [name for name in self._features if name in spec.optional_numbers]
        self._any_type = bool(spec.example_types)
        if self._any_type:
            lists = {n for n, f in self._features.items() if not _is_single(f)}
            self._lists = {n: f for n, f in self._features.items() if n in lists}
            self._singles = {n: f for n, f in self._features.items() if n not in lists}
            self._columns = _make_table(self._singles)
            self._list_columns = _make_table(self._lists) if lists else None

    def __call__(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses examples [B].

        Raises:
          tf.errors.InvalidArgumentError: for an example without exactly one value of each feature,
            or with several of one that may be missing.
        """
        if not self._any_type:
            return self._parse_one_type(serialized)
        columns = {}
        if self._lists:
            columns |= _decode_list_columns(serialized, self._lists, self._list_columns)
        if not self._singles:
            return columns
        least = [int(name not in self._optional) for name in self._singles]
        by_type = _decode_values(serialized, list(self._singles), self._columns, least)
        for column, (name, feature) in enumerate(self._singles.items()):
            values = {kind: of[:, column] for kind, of in by_type.items()}
            if name in self._optional:
                values = self._mark_missing(values)
            to_column = _to_text if feature.dtype == tf.string else _to_number
            columns[name] = to_column(values)
        return columns

    def _parse_one_type(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        if not self._optional:
            return tf.io.parse_example(serialized, self._features)
        # Lists may be empty, which a default value does not cover.
        lists = tf.io.FixedLenSequenceFeature([], tf.float32, True, float("nan"))
        parsed = tf.io.parse_example(
            serialized, self._features | dict.fromkeys(self._optional, lists)
        )
        nan = tf.fill([tf.size(serialized), 1], float("nan"))
        for name in self._optional:
            several = f"each example needs at most one value of the feature: {name}"
            check = tf.debugging.Assert(tf.shape(parsed[name])[1] <= 1, [several])
            with tf.control_dependencies([check]):
                parsed[name] = tf.concat([parsed[name], nan], axis=1)[:, 0]
        return {name: parsed[name] for name in self._features}

    def _mark_missing(self, values: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the values [B] by type with the text "nan" for missing ones."""
        forms = canonicalize_text(values["bytes_list"], self._missing_values)
        # A feature without a value has the type of text, and empty text.
        missing = (values["kind"] == 0) & (forms == MISSING)
        return {**values, "bytes_list": tf.where(missing, "nan", values["bytes_list"])}


def _is_single(feature: tf.io.FixedLenFeature | tf.io.VarLenFeature) -> bool:
    return isinstance(feature, tf.io.FixedLenFeature) and not feature.shape


def _make_table(features: Mapping[str, object]) -> tf.lookup.StaticHashTable:
    names = tf.constant(list(features), tf.string)
    columns = tf.lookup.KeyValueTensorInitializer(names, tf.range(len(features)))
    return tf.lookup.StaticHashTable(columns, -1)


def _find_features(
    serialized: tf.Tensor, columns: tf.lookup.StaticHashTable
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns (row, column) of each feature in a table, [n, 2], and its lists [n, 1] by type."""
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
    lists = _decode(
        tf.gather(value[:, 0], used), "tensorflow.Feature", dict.fromkeys(_LISTS, tf.string)
    )
    return places, lists


def _decode_list_columns(
    serialized: tf.Tensor,
    features: Mapping[str, tf.io.FixedLenFeature | tf.io.VarLenFeature],
    columns: tf.lookup.StaticHashTable,
) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """Returns columns with several values in a row, by name."""
    rows, count = tf.size(serialized), len(features)
    places, lists = _find_features(serialized, columns)
    cell_of = places[:, 0] * count + places[:, 1]
    cells, texts = [], []
    for (message, dtype), content in zip(_LISTS.values(), lists, strict=True):
        sizes, [values] = _decode_lists(content[:, 0], message, {"value": dtype})
        flat = tf.boolean_mask(values, tf.sequence_mask(sizes[:, 0], tf.shape(values)[1]))
        cells.append(tf.repeat(cell_of, sizes[:, 0]))
        to_text = format_numbers if dtype == tf.float32 else tf.strings.as_string
        texts.append(flat if dtype == tf.string else to_text(flat))
    order = tf.argsort(tf.concat(cells, axis=0), stable=True)
    cells, texts = (tf.gather(tf.concat(of, axis=0), order) for of in (cells, texts))
    result = {}
    for column, (name, feature) in enumerate(features.items()):
        own = cells % count == column
        values, row_of = tf.boolean_mask(texts, own), tf.boolean_mask(cells, own) // count
        if isinstance(feature, tf.io.VarLenFeature):
            ragged = tf.RaggedTensor.from_value_rowids(values, row_of, tf.cast(rows, tf.int32))
            result[name] = ragged.to_sparse()
            continue
        [size] = feature.shape
        lengths = tf.math.bincount(row_of, minlength=rows)
        message = f"each example needs {size} values of the feature {name}"
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.reduce_all(lengths == size), [message])]
        ):
            result[name] = tf.reshape(tf.strings.to_number(values), [-1, size])
    return result


def _decode_values(
    serialized: tf.Tensor,
    names: list[str],
    columns: tf.lookup.StaticHashTable,
    least: list[int],
) -> Mapping[str, tf.Tensor]:
    """Returns values [B, F] by type, and as `kind` the index [B, F] into `_LISTS` of the type.

    Args:
      serialized: [B] examples.
      names: F features.
      columns: Their columns.
      least: By feature, 1 if it needs a value, or 0.
    """
    places, lists = _find_features(serialized, columns)
    shape = tf.stack([tf.size(serialized), len(names)])
    given = tf.scatter_nd(places, tf.ones(tf.shape(places)[:1], tf.int32), shape)
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
    if all(least):
        bad = tf.where((given != 1) | (count != 1))
    else:
        bad = tf.where((given < least) | (given > 1) | (count < least) | (count > 1))
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
