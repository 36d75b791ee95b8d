"""Estimates the number of rows of a file from its first megabyte, for progress bars."""

import struct
import zlib

import tensorflow as tf

from mptrec_tf.data.sources.streams import GZIP, is_tfrecord

_SAMPLE = 1 << 20  # bytes
_TFRECORD_FRAME = 16  # bytes around each record: its length, and two checksums


def estimate_rows(path: str) -> int:
    """Returns an estimate of the rows of a text or TFRecord file; 0 if it cannot be read."""
    try:
        size = tf.io.gfile.stat(path).length
        with tf.io.gfile.GFile(path, "rb") as file:
            raw = file.read(_SAMPLE)
        sample = raw
        if raw.startswith(GZIP):
            sample = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw)
    except (tf.errors.OpError, zlib.error):
        return 0  # the reader of the file reports the error
    if not raw:
        return 0
    rows = _count_records(sample) if is_tfrecord(sample) else sample.count(b"\n")
    return round(rows * size / len(raw))


def _count_records(sample: bytes) -> float:
    """Returns the number of records of the sample, the last one in part."""
    start = count = 0
    while start + 8 <= len(sample):
        (length,) = struct.unpack_from("<Q", sample, start)
        start += length + _TFRECORD_FRAME
        count += 1
    return count * len(sample) / start if start else 0
