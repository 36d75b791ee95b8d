"""The format of text files: delimiter, quotes, header, encoding and the like."""

import codecs
import dataclasses
from typing import ClassVar

from mptrec_tf.storage.plain import added

# Words for what is hard to write in a flag or in YAML.
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_DELIMITERS |= dict.fromkeys(("^a", "\\x01", "\\u0001", "\\001"), "\x01")  # Hive's
_WORDS = {
    "delimiter": _DELIMITERS,
    "escape": {"backslash": "\\"},
    "quote": {"none": "", "single": "'", "double": '"'},
    "decimal": {"comma": ",", "point": "."},
}
_UNFIT = ("\n", "\r", "\0")
_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """The format of a text file.

    Attributes:
      delimiter: Optional str. One character between values, or its name (tab, comma, semicolon,
        pipe, space). Defaults to a tab in files called .tsv or .tab, and to a comma in others.
      escape: Optional str. A character that escapes the next one: a backslash, as Spark writes
        CSV. By default a quote inside quotes is doubled, and nothing else is special.
      header: Optional names of the columns, for files whose first line is a row. By default the
        first line that is not blank names them.
      quote: Optional str. The character around values that contain a delimiter or a line end, or
        `none`: then quotes are characters like others. Defaults to ".
      encoding: Optional str. One of Python's codecs. Defaults to UTF-8.
      decimal: Optional str. The mark before the fraction of numbers: a comma, in values that are
        numbers with one such mark and nothing else; features with several values in a row read
        them as they are written. Defaults to a point.
      skip_rows: int. Lines before the header, or before the first row if `header` names the
        columns.

    Example:
      >>> TextFormat(delimiter="semicolon", header=("user", "item")).delimiter
      ';'
    """

    # Whether neither a spec nor a flag can change it, so that no message may advise to.
    is_fixed: ClassVar[bool] = False

    delimiter: str | None = None
    escape: str | None = None
    header: tuple[str, ...] | None = None
    quote: str | None = added(None)
    encoding: str | None = added(None)
    decimal: str | None = added(None)
    skip_rows: int = added(0)

    def __post_init__(self) -> None:
        for field, words in _WORDS.items():
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, words.get(value.lower(), value))
        if isinstance(self.header, list):
            object.__setattr__(self, "header", tuple(self.header))

    def problems(self) -> list[str]:
        """Returns a sentence for each problem."""
        problems = []
        for name in ("delimiter", "escape"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in _UNFIT or value == self.mark):
                problems.append(
                    f"{name} must be a single character other than a quote or a line end, "
                    f"not {value!r}"
                )
        if self.delimiter is not None and self.delimiter == self.escape:
            problems.append(f"delimiter and escape are both {self.escape!r}")
        if len(self.mark) > 1 or self.mark in _UNFIT:
            problems.append(
                "quote must be a single character other than a line end, or none, "
                f"not {self.mark!r}"
            )
        if self.decimal not in (None, ".", ","):
            problems.append(f"decimal must be a comma or a point, not {self.decimal!r}")
        if self.encoding is not None and not _is_encoding(self.encoding):
            problems.append(
                f"encoding {self.encoding!r} is none that Python knows; give utf-8, latin-1, "
                "cp1252, utf-16 or gb18030, for example"
            )
        if self.skip_rows < 0:
            problems.append(f"skip_rows must be 0 or more, not {self.skip_rows}")
        if self.header is not None:
            twice = sorted({n for n in self.header if n and self.header.count(n) > 1})
            if not self.header:
                problems.append("header must name the columns, in their order")
            if twice:
                problems.append(f"header names column {twice[0]!r} twice")
        return problems

    @property
    def mark(self) -> str:
        """The character around values; empty text for none."""
        return '"' if self.quote is None else self.quote

    @property
    def is_utf8(self) -> bool:
        """Whether files are UTF-8, with or without a byte order mark."""
        return self.encoding is None or codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")

    @property
    def is_wide(self) -> bool:
        """Whether letters such as "a" have several bytes, as in UTF-16."""
        return not self.is_utf8 and len("a".encode(self.encoding)) > 1

    def to_utf8(self, start: bytes) -> bytes:
        """Returns the first bytes of a file in UTF-8; other bytes than those of text are lost."""
        if self.is_utf8:
            return start
        try:
            text = codecs.getincrementaldecoder(self.encoding)("replace").decode(start)
        except UnicodeError:  # UTF-16 without its mark
            return start
        return text.encode("utf-8", "replace")

    def for_file(self, path: str) -> "TextFormat":
        """Returns the format of a file; its name decides the delimiter if none is given."""
        if self.delimiter is not None:
            return self
        is_tabs = remove_compression(path).endswith((".tsv", ".tab"))
        return dataclasses.replace(self, delimiter="\t" if is_tabs else ",")


class OriginalFormat(TextFormat):
    """The format of a published file, which is what it is."""

    is_fixed = True


def find_word(field: str, value: str) -> str | None:
    r"""Returns the word for a value of a field of `TextFormat`, if there is one.

    Example:
      >>> find_word("delimiter", "\t"), find_word("quote", "'"), find_word("delimiter", "~")
      ('tab', 'single', None)
    """
    return next((word for word, of in _WORDS[field].items() if of == value), None)


def remove_compression(path: str) -> str:
    """Returns a file's name in lower case, without endings such as .gz."""
    name = path.lower()
    while name.endswith(_COMPRESSED):
        name = name[: name.rindex(".")]
    return name


def _is_encoding(name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)
        "a".encode(name)  # rejects codecs of bytes
    except (LookupError, ValueError):
        return False
    return True
