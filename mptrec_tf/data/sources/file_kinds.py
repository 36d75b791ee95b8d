"""The kinds of files that hold rows: told by the first bytes, and of text by the name, too.

Imports no TensorFlow.
"""

import codecs
import re
from typing import BinaryIO

from mptrec_tf.data.sources.json_values import is_value
from mptrec_tf.data.text_format import TextFormat, remove_compression
from mptrec_tf.errors import InputError

PARQUET, ARROW, TFRECORD, JSON, TEXT = "Parquet", "Arrow", "TFRecord", "JSON lines", "text"
# Bytes that tell a file's kind.
START = 4096
# First bytes of an Arrow file, of a stream, and of the first version of Feather.
ARROW_FILE, ARROW_STREAM, OLD_FEATHER = b"ARROW1\0\0", b"\xff\xff\xff\xff", b"FEA1"
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_TEXT_ENDINGS = (".csv", ".txt", ".tsv", ".tab")
# An object with a key, or a list of them.
_JSON_START = re.compile(rb'\s*(?:\[\s*)?\{\s*(?:"|\})')
# First bytes of files that hold no rows, or none that are read.
_OTHERS = {
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\xff\xfe\0\0": "UTF-32 text",
    b"\0\0\xfe\xff": "UTF-32 text",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def read_start(stream: BinaryIO, text_format: TextFormat, size: int = START) -> bytes:
    """Returns a file's first bytes, of which some are not blank, unless all of the file is."""
    start = stream.read(size)
    while is_blank(text_format.to_utf8(start)) and (more := stream.read(len(start))):
        start += more
    return start


def is_blank(start: bytes) -> bool:
    """Whether first bytes that are those of a text are empty or white space."""
    return not start.removeprefix(codecs.BOM_UTF8).strip()


def find_kind(path: str, start: bytes, text_format: TextFormat) -> str:
    """Returns the kind of a file; what seems to be none is TFRecord.

    Args:
      path: The file.
      start: Its first bytes, decompressed; some of them are not white space.
      text_format: How text files are written.

    Raises:
      InputError: for a kind that is not read.
    """
    # Text may begin with the same letters as other files, but has no control bytes after them.
    is_binary = any(byte < 9 for byte in start)
    if is_binary and start.startswith((b"PAR1", b"PARE")):
        return PARQUET
    old = is_binary and start.startswith(OLD_FEATHER)
    if old or start.startswith((ARROW_FILE, ARROW_STREAM)):
        return ARROW
    if is_tfrecord(start):
        return TFRECORD
    text, name = text_format.to_utf8(start), remove_compression(path)
    check_readable(path, text if text_format.is_wide else start)
    controls = {byte for byte in text if byte < 9}
    if (name.endswith(_JSON_ENDINGS) and not controls) or _is_json(text):
        return JSON
    # A file named as text is read as text, so that errors name a line.
    if name.endswith(_TEXT_ENDINGS) or controls <= {1}:
        return TEXT
    return TFRECORD


def is_tfrecord(start: bytes) -> bool:
    """Whether a file's first bytes are those of TFRecord: a 64-bit length whose upper bits are 0.

    Text has no zero bytes, and of UTF-32 not four in this place; no tf.Example has 4 GiB.
    """
    return len(start) >= 12 and start[4:8] == bytes(4)


def _is_json(start: bytes) -> bool:
    start = start.removeprefix(codecs.BOM_UTF8).strip()
    if not _JSON_START.match(start):
        return False
    # The first column of CSV may hold JSON.
    first, end, _ = start.partition(b"\n")
    return not end or first.strip() == b"[" or is_value(first)


def check_readable(path: str, start: bytes, is_fixed: bool = False) -> None:
    """Rejects a file whose first bytes are those of a kind that is not read.

    Args:
      path: The file, for messages.
      start: Its first bytes.
      is_fixed: Whether it has to have the format of a published file.

    Raises:
      InputError: naming the kind.
    """
    for magic, kind in _OTHERS.items():
        # Text may begin with the same letters, but has no control bytes after them.
        if start.startswith(magic) and any(byte < 9 for byte in start):
            what = "give CSV, Parquet, Arrow, JSON lines or TFRecord"
            if kind.startswith("UTF"):
                encoding = kind.removesuffix(" text").lower()
                what = f"give `encoding: {encoding}` in the spec, or save it as UTF-8"
            if is_fixed:
                what = "get the original one"
            raise InputError(f"{path} seems to be {kind}; {what}.")
