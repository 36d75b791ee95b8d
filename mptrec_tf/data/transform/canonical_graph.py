"""The canonical form of text (see `canonicalize`) as TensorFlow operations, for graphs."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.canonical import (
    FALSE,
    LARGEST,
    LEADING_ZEROS,
    MISSING,
    SCIENTIFIC,
    TRUE,
    WHITE_SPACE,
    WHOLE,
    ZERO,
    make_changing_pattern,
    make_missing_pattern,
)


def canonicalize_text(values: tf.Tensor, missing_values: Sequence[str]) -> tf.Tensor:
    """Returns the canonical forms of texts.

    Args:
      values: [...] string, UTF-8.
      missing_values: What counts as missing and becomes `MISSING`.
    """
    flat = tf.reshape(values, [-1])
    # Nearly all values are in canonical form; only the others go through the many steps.
    changing = tf.where(tf.strings.regex_full_match(flat, make_changing_pattern(missing_values)))
    changed = _canonical(tf.gather_nd(flat, changing), missing_values)
    return tf.reshape(tf.tensor_scatter_nd_update(flat, changing, changed), tf.shape(values))


def _canonical(values: tf.Tensor, missing_values: Sequence[str]) -> tf.Tensor:
    replace = tf.strings.regex_replace
    text = _scientific(replace(values, f"^{WHITE_SPACE}|{WHITE_SPACE}$", ""))
    text = replace(replace(text, ZERO, "0"), WHOLE, r"\1\2")
    text = replace(text, LEADING_ZEROS, r"\1")
    text = replace(replace(text, TRUE, "true"), FALSE, "false")
    return replace(text, make_missing_pattern(missing_values), MISSING)


def _scientific(text: tf.Tensor) -> tf.Tensor:
    """Rewrites whole numbers like 1.2E3 as 1200."""
    scientific = tf.strings.regex_full_match(text, SCIENTIFIC)
    numbers = tf.strings.to_number(tf.where(scientific, text, "0"), tf.float64)
    whole = scientific & (numbers == tf.floor(numbers)) & (tf.abs(numbers) < LARGEST)
    return tf.where(whole, tf.strings.as_string(tf.cast(numbers, tf.int64)), text)


def format_numbers(values: tf.Tensor) -> tf.Tensor:
    """Returns the canonical forms of numbers [...] float32: the shortest text of each.

    `block.format_numbers` is the same in NumPy.
    """
    # All digits of a whole number; of others as few as give the same float32.
    text = tf.strings.as_string(values, precision=9, shortest=True)
    for digits in (8, 7, 6):
        shorter = tf.strings.as_string(values, precision=digits, shortest=True)
        same = tf.strings.to_number(shorter, tf.float32) == values
        text = tf.where(same, shorter, text)
    whole = (values == tf.floor(values)) & (tf.abs(values) < LARGEST)
    return tf.where(whole, tf.strings.as_string(tf.cast(values, tf.int64)), text)
