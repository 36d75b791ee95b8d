"""The canonical form of text: one spelling per value, in labels and in categorical columns.

In this order:

    white space     around the text is dropped
    whole numbers   "3.0", "3.", "+3" and "3.0E0" are "3", "-0.0" is "0"; leading zeros stay, as in
                    "0123" (a postcode is not a number), and so does "12E4" (an article's number)
    truth values    "True", "TRUE" and "true" are "true", and likewise "false"
    missing         the spec's `missing_values`, in upper or lower case, are `MISSING`

All other text is unchanged. This module implements the rules for labels, outside of graphs, and
imports no TensorFlow; `canonical_graph` implements them for features, in the preprocessing graph
and thus in every SavedModel. A test checks that the two agree.
"""

import functools
import math
import re
from collections.abc import Iterable
from typing import Any

# The usual spellings of a missing value, in upper or lower case.
MISSING_VALUES = (
    *("", "NA", "N/A", "N.A.", "#NA", "#N/A", "#N/A N/A", "<NA>", "NaN", "-NaN", "NaT"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "null", "(null)", "<null>", "[null]", "#NULL!"),
    *("None", "nil", "missing", "(missing)", "(empty)", "undefined", "__HIVE_DEFAULT_PARTITION__"),
    *("\\N", "?", ".", "-", "--", "---", "\u2013", "\u2014"),
)
# The canonical form of a missing value. No other text has it, since white space is dropped.
MISSING = "\t"

# Patterns for Python's `re` and for TensorFlow's RE2. Python's `str.strip` drops the same white
# space.
WHITE_SPACE = (
    r"[\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}"
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
)
ZERO = r"^[+-]?0(?:\.0*)?$"
WHOLE = r"^(?:\+|(-))?([1-9][0-9]*)(?:\.0*)?$"
LEADING_ZEROS = r"^([+-]?0[0-9]+)\.0*$"
# Large numbers as programs write them: "1.2345678E7", "1e+16".
SCIENTIFIC = r"^[+-]?(?:(?:0|[1-9][0-9]*)\.[0-9]*[eE][+-]?|[1-9][0-9]*[eE]\+)[0-9]{1,2}$"
TRUE, FALSE = r"^[tT][rR][uU][eE]$", r"^[fF][aA][lL][sS][eE]$"
# No integer type holds larger numbers.
LARGEST = 2.0**63

_ZERO, _WHOLE, _LEADING_ZEROS = map(re.compile, (ZERO, WHOLE, LEADING_ZEROS))
_SCIENTIFIC, _TRUE, _FALSE = map(re.compile, (SCIENTIFIC, TRUE, FALSE))


def canonicalize(value: Any) -> str:
    """Returns the canonical form of a value's text, regardless of missing values.

    Example:
      >>> canonicalize(" 3.0"), canonicalize("TRUE"), canonicalize("007"), canonicalize("Male ")
      ('3', 'true', '007', 'Male')
    """
    text = str(value).strip()
    if "\n" in text:  # `$` also matches before a line end
        return text
    if _ZERO.match(text):
        return "0"
    if _TRUE.match(text):
        return "true"
    if _FALSE.match(text):
        return "false"
    if _SCIENTIFIC.match(text):
        number = float(text)
        return str(int(number)) if number == int(number) and abs(number) < LARGEST else text
    return _LEADING_ZEROS.sub(r"\1", _WHOLE.sub(r"\1\2", text))


def is_missing(text: str, missing_values: Iterable[str]) -> bool:
    """Whether a text in canonical form is empty or one of these, in upper or lower case."""
    return _compile_missing(tuple(missing_values)).match(text) is not None


@functools.cache
def _compile_missing(missing_values: tuple[str, ...]) -> re.Pattern:
    return re.compile(make_missing_pattern(missing_values))


def make_missing_pattern(missing_values: Iterable[str]) -> str:
    """Returns a pattern that matches empty text and all canonical forms that count as missing."""
    forms = sorted({"", *map(canonicalize, missing_values)})
    return f"^(?:{'|'.join(''.join(map(_ignore_case, form)) for form in forms)})$"


@functools.cache
def missing_numbers(missing_values: tuple[str, ...]) -> tuple[float, ...]:
    """Returns the finite numbers among the texts that count as missing, as -999, ascending."""
    numbers = set()
    for value in missing_values:
        try:
            numbers.add(float(value))
        except ValueError:
            continue
    return tuple(sorted(number for number in numbers if math.isfinite(number)))


def make_changing_pattern(missing_values: Iterable[str]) -> str:
    """Returns a pattern that matches all texts not in canonical form, and a few others."""
    white = WHITE_SPACE.rstrip("+")
    kinds = [
        f"{white}.*|.*{white}",
        r"[+-]?[0-9]+(?:\.0*|(?:\.[0-9]*)?[eE][+-]?[0-9]{1,2})",
        r"\+[0-9]+|-0",
        *(pattern.strip("^$") for pattern in (TRUE, FALSE, make_missing_pattern(missing_values))),
    ]
    return f"(?s:{'|'.join(kinds)})"


def _ignore_case(character: str) -> str:
    # ASCII only: programs differ in the case of other letters.
    if character.isascii() and character.isalpha():
        return f"[{character.lower()}{character.upper()}]"
    return re.escape(character)
