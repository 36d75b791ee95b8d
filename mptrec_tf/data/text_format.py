"""The format of a user's text files: delimiter, escape and header."""

import dataclasses

# Words for what is hard to write in a flag or in YAML.
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_DELIMITERS |= dict.fromkeys(("^a", "\\x01", "\\u0001", "\\001"), "\x01")  # Hive's
_ESCAPES = {"backslash": "\\"}
_UNFIT = ('"', "\n", "\r", "\0")


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

    Example:
      >>> TextFormat(delimiter="semicolon", header=("user", "item")).delimiter
      ';'
    """

    delimiter: str | None = None
    escape: str | None = None
    header: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field, names in (("delimiter", _DELIMITERS), ("escape", _ESCAPES)):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, names.get(value.lower(), value))
        if isinstance(self.header, list):
            object.__setattr__(self, "header", tuple(self.header))

    def problems(self) -> list[str]:
        """Returns a sentence for each problem."""
        problems = []
        for name in ("delimiter", "escape"):
            value = getattr(self, name)
            if value is not None and (len(value) != 1 or value in _UNFIT):
                problems.append(
                    f"{name} must be a single character other than a quote or a line end, "
                    f"not {value!r}"
                )
        if self.delimiter is not None and self.delimiter == self.escape:
            problems.append(f"delimiter and escape are both {self.escape!r}")
        if self.header is not None:
            twice = sorted({n for n in self.header if n and self.header.count(n) > 1})
            if not self.header:
                problems.append("header must name the columns, in their order")
            if twice:
                problems.append(f"header names column {twice[0]!r} twice")
        return problems

    def for_file(self, path: str) -> "TextFormat":
        """Returns the format of a file; its name decides the delimiter if none is given."""
        if self.delimiter is not None:
            return self
        name = path.lower()
        while name.endswith(".gz"):
            name = name.removesuffix(".gz")
        is_tabs = name.endswith((".tsv", ".tab"))
        return dataclasses.replace(self, delimiter="\t" if is_tabs else ",")
