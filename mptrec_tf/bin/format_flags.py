"""The flags for the format of text files, for the programs that read rows."""

import dataclasses
from collections.abc import Sequence

from absl import flags

from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

DELIMITER = flags.DEFINE_string(
    "delimiter",
    None,
    "Separates the values in text files: a character, or tab, comma, semicolon, pipe, space. "
    "Default: the spec's; otherwise a tab in .tsv files and a comma in others.",
)

QUOTE = flags.DEFINE_string(
    "quote",
    None,
    "Around values of text files that contain a delimiter: a character, or none. Default: the "
    "spec's; otherwise \".",
)
ENCODING = flags.DEFINE_string(
    "encoding",
    None,
    "Encoding of text files, such as latin-1 or utf-16. Default: the spec's; otherwise UTF-8.",
)
DECIMAL = flags.DEFINE_string(
    "decimal",
    None,
    "The mark before the fraction of numbers in text files: point or comma. Default: the spec's; "
    "otherwise a point.",
)
SKIP_ROWS = flags.DEFINE_integer(
    "skip_rows",
    None,
    "Lines of text files before the header. Default: the spec's; otherwise 0.",
    lower_bound=0,
)
_FLAGS = (DELIMITER, QUOTE, ENCODING, DECIMAL, SKIP_ROWS)


def list_given() -> Sequence[str]:
    """Returns the names of the flags that are given."""
    return [flag.name for flag in _FLAGS if flag.value is not None]


def read_text_format(of_spec: TextFormat) -> TextFormat:
    """Returns a spec's format, changed by the flags that are given.

    Raises:
      InputError: for a flag that makes no sense, such as a delimiter of two characters.
    """
    given = {flag.name: flag.value for flag in _FLAGS if flag.value is not None}
    if not given:
        return of_spec
    changed = dataclasses.replace(of_spec, **given)
    for problem in changed.problems():
        raise InputError(f"--{problem}.")
    return changed
