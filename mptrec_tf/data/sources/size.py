"""Estimates the number of rows of a file from its first megabyte, for progress bars."""

import struct

from mptrec_tf.data.sources.compression import decompress_start
from mptrec_tf.data.sources.file_kinds import is_tfrecord
from mptrec_tf.data.sources.streams import READ_ERRORS
from mptrec_tf.storage.arrow_file_systems import find_file_system

_SAMPLE = 1 << 20  # bytes
_TFRECORD_FRAME = 16  # bytes around each record: its length, and two checksums


def estimate_rows(path: str) -> int:
    """Returns an estimate of the rows of a file of lines or of records; 0 if it cannot be read.

    Lines are counted without a look at what they hold: the header and blank ones, too.
    """
    try:
        file_system = find_file_system(path)
        size = file_system.stat(path).length
        with file_system.GFile(path, "rb") as file:
            raw = file.read(_SAMPLE)
    except READ_ERRORS:
        return 0  # the reader of the file reports the error
    sample = decompress_start(raw)
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
