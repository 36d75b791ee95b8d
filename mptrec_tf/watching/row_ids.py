"""Ids of rows as text: of inputs, of features of tf.Examples and of files of labels alike."""

import numpy as np
import tensorflow as tf

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.sources.number_text import format_numbers
from mptrec_tf.watching.decoding import decode, decode_lists, decode_map

ID_SEPARATOR = "\x1f"  # between the columns of an id
_LISTS = {"BytesList": tf.string, "Int64List": tf.int64, "FloatList": tf.float32}


def to_text(values: tf.Tensor) -> np.ndarray:
    """Returns values [n] as text."""
    if values.dtype == tf.string:
        return np.array([v.decode(errors="replace") for v in values.numpy().tolist()], object)
    return np.asarray(format_numbers(values.numpy()), object)


def unify_numbers(ids: np.ndarray) -> np.ndarray:
    """Returns ids [n], text or None, with whole numbers as "3" where a source has them as "3.0".

    Whole numbers become so in a table whose column of ids has gaps.
    """
    texts = [canonicalize(text) if text and text.endswith(".0") else text for text in ids.tolist()]
    unified = np.empty(len(ids), object)
    unified[:] = texts
    return unified


def read_feature(serialized: tf.Tensor, name: str) -> np.ndarray:
    """Returns a feature's first value of tf.Examples [n] as text; None where it is not there.

    Raises:
      tf.errors.InvalidArgumentError: if one is no tf.Example.
    """
    texts = np.full(len(serialized), None, object)
    for dtype in _LISTS.values():
        try:
            parsed = tf.io.parse_example(serialized, {name: tf.io.VarLenFeature(dtype)})[name]
        # Another type; or a damaged example, which the error quotes, and which may be no text.
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
            continue
        owners, first = np.unique(parsed.indices.numpy()[:, 0], return_index=True)
        texts[owners] = to_text(tf.gather(parsed.values, first))
        return texts
    return _read_mixed_feature(serialized, name)


def _read_mixed_feature(serialized: tf.Tensor, name: str) -> np.ndarray:
    """Returns what `read_feature` does, of tf.Examples that do not agree on the feature's type."""
    texts = np.full(len(serialized), None, object)
    _, [features] = decode(serialized, "tensorflow.Example", {"features": tf.string})
    found = decode_map(features, "tensorflow.Features", "feature")
    if name not in found:
        return texts
    owners, of = found[name]
    fields = dict.fromkeys(("bytes_list", "int64_list", "float_list"), tf.string)
    _, lists = decode(of, "tensorflow.Feature", fields)
    for serialized_lists, (kind, dtype) in zip(lists, _LISTS.items(), strict=True):
        sizes, [values] = decode_lists(serialized_lists, f"tensorflow.{kind}", {"value": dtype})
        there = np.flatnonzero(sizes[:, 0])
        if len(there):
            texts[owners[there]] = to_text(tf.gather(values[:, 0], there))
    return texts
