"""The flag for the format of text files, for the programs that read rows."""

import dataclasses

from absl import flags

from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

DELIMITER = flags.DEFINE_string(
    "delimiter",
    None,
    "Separates the values in text files: a character, or tab, comma, semicolon, pipe, space. "
    "Default: the spec's; otherwise a tab in .tsv files and a comma in others.",
)


def read_text_format(of_spec: TextFormat) -> TextFormat:
    """Returns a spec's format, with the flag's delimiter if it is given.

    Raises:
      InputError: if the delimiter is not a single character.
    """
    if DELIMITER.value is None:
        return of_spec
    changed = dataclasses.replace(of_spec, delimiter=DELIMITER.value)
    for problem in changed.problems():
        raise InputError(f"--{problem}.")
    return changed
