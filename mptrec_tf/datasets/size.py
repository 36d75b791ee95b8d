"""How many rows a file holds, estimated from its first megabyte: for progress bars."""

import struct
import zlib

import tensorflow as tf

_SAMPLE = 1 << 20  # bytes
_TFRECORD_FRAME = 16  # bytes around each record: its length, and two checksums


def estimate_rows(path: str, is_csv: bool) -> int:
    """Returns about how many rows a file holds; 0 where it cannot be read.

    Args:
      path: A CSV or TFRecord file, compressed by gzip if its name ends in .gz.
      is_csv: Whether rows are lines, or TFRecord's records.
    """
    try:
        size = tf.io.gfile.stat(path).length
        with tf.io.gfile.GFile(path, "rb") as file:
            raw = file.read(_SAMPLE)
        sample = raw
        if path.lower().endswith(".gz"):
            sample = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw)
    except (tf.errors.OpError, zlib.error):
        return 0  # whoever reads the file says what is wrong with it
    if not raw:
        return 0
    rows = sample.count(b"\n") if is_csv else _records(sample)
    return round(rows * size / len(raw))


def _records(sample: bytes) -> float:
    """How many records the sample holds, the last one in part."""
    start = count = 0
    while start + 8 <= len(sample):
        (length,) = struct.unpack_from("<Q", sample, start)
        start += length + _TFRECORD_FRAME
        count += 1
    return count * len(sample) / start if start else 0
