"""One spelling for one value, in Python and inside graphs."""

import random

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.canonical import MISSING, MISSING_VALUES, canonicalize, is_missing
from mptrec_tf.data.sources.number_text import format_numbers as number_text_in_numpy
from mptrec_tf.data.sources.text_columns import canonicalize_values
from mptrec_tf.data.transform.canonical_graph import canonicalize_text, format_numbers


def python_form(text, missing_values):
    """What `canonicalize_text` has to give, by the rule for labels."""
    form = canonicalize(text)
    return MISSING if is_missing(form, missing_values) else form


def graph_forms(texts, missing_values=MISSING_VALUES):
    forms = canonicalize_text(tf.constant(texts), missing_values).numpy().tolist()
    return [form.decode() for form in forms]


def arrow_forms(texts, missing_values=MISSING_VALUES):
    forms = canonicalize_values(np.array(texts, object), missing_values)
    return [MISSING if form is None else form for form in forms]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        # white space around
        (" Male", "Male"),
        ("Never married ", "Never married"),
        ("\u00a0x\u2003\n", "x"),
        ("a \t b", "a \t b"),
        # whole numbers
        ("3", "3"),
        ("3.0", "3"),
        ("3.", "3"),
        ("3.00", "3"),
        ("+3", "3"),
        ("-3.0", "-3"),
        ("0.0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("+0.", "0"),
        ("1.5E1", "15"),
        ("3.0E0", "3"),
        ("1.2345678E7", "12345678"),
        ("1e+16", "10000000000000000"),
        ("-2.0e+03", "-2000"),
        ("1500.0E-2", "15"),
        # numbers that are not whole, and those that no integer holds
        ("0.50", "0.50"),
        ("1.0E-2", "1.0E-2"),
        ("-0.5", "-0.5"),
        ("1e+19", "1e+19"),
        ("9.3E18", "9.3E18"),
        ("12345678901234567890", "12345678901234567890"),
        ("12345678901234567891.0", "12345678901234567891"),
        # codes that only look like numbers
        ("007", "007"),
        ("0123.0", "0123"),
        ("00", "00"),
        ("00.0", "00"),
        ("12E4", "12E4"),
        ("1E5", "1E5"),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("1.2.0", "1.2.0"),
        (".0", ".0"),
        ("--3", "--3"),
        ("0x10", "0x10"),
        ("\u0663", "\u0663"),  # a digit elsewhere
        ("- 50000.", "- 50000."),
        # truth values
        ("True", "true"),
        ("TRUE ", "true"),
        ("fAlSe", "false"),
        ("truely", "truely"),
        ("yes", "yes"),
        # lines
        ("3.0\n4.0", "3.0\n4.0"),
        ("true\nfalse", "true\nfalse"),
        ("true\n", "true"),
        ("Zürich", "Zürich"),
    ],
)
def test_spellings(text, form):
    assert canonicalize(text) == form
    assert not is_missing(form, MISSING_VALUES)
    assert graph_forms([text]) == [form]


@pytest.mark.parametrize(
    "text",
    [
        *MISSING_VALUES,
        *("  ", "\t", "\u3000", " NA ", "na", "nan", "NAN", "NULL", "Null", "none", "NIL", "<na>"),
        *("\\n", " ? ", "#n/a", "(NULL)", "nat"),
    ],
)
def test_what_is_missing_by_default(text):
    assert is_missing(canonicalize(text), MISSING_VALUES)
    assert graph_forms([text]) == [MISSING]


@pytest.mark.parametrize("text", ["N A", "NaNs", "nothing", "----", "\\\\N", "?!", "0", "false"])
def test_what_is_not_missing_by_default(text):
    assert not is_missing(canonicalize(text), MISSING_VALUES)
    assert graph_forms([text]) == [canonicalize(text)]


def test_a_spec_decides_what_is_missing():
    missing_values = ("-999", "not known", "n.a.", "[none]", "Größe", "$", "a|b", " x ")
    texts = ["-999.0", "Not Known", "N.A.", "nXa.", "[NONE]", "n", "größe", "GRÖSSE", "$", "A|B"]
    texts += ["a", "X", "", " ", "NA", "-9999", "999"]
    expected = [MISSING] * 3 + ["nXa.", MISSING, "n", MISSING, "GRÖSSE", MISSING, MISSING]
    expected += ["a", MISSING, MISSING, MISSING, "NA", "-9999", "999"]
    assert graph_forms(texts, missing_values) == arrow_forms(texts, missing_values) == expected
    assert [python_form(text, missing_values) for text in texts] == expected


@pytest.mark.parametrize("missing_values", [(), ("NA",)])
def test_empty_text_is_always_missing(missing_values):
    assert is_missing("", missing_values)
    assert graph_forms(["", " ", "x"], missing_values) == [MISSING, MISSING, "x"]


_PIECES = [
    *("0", "00", "1", "12", "3", "907", "+", "-", ".", ".0", ".5", "e", "E", "E+", "e-", "E7"),
    *("e+03", "true", "FALSE", "True", "na", "NaN", "null", "\\N", "?", "<NA>", "None", "x", "Ab"),
    *(" ", "\t", "\n", "\r\n", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003"),
    *("\u2028", "\u202f", "\u205f", "\u3000", "\u200b", "\ufeff", "\xe4", "\u0131", "\u0660"),
    *("\U0001f600", "_", ",", "'", "9223372036854775807", "1234567890123456789"),
]


def random_texts(count):
    rng = random.Random(7)
    texts = ["".join(rng.choices(_PIECES, k=rng.randint(0, 5))) for _ in range(count // 2)]
    for _ in range(count // 2):  # numbers, more often whole ones than not
        sign, exponent = rng.choice(["", "", "+", "-"]), rng.choice(["", "", "e", "E", "E+"])
        digits = str(rng.randrange(10 ** rng.randint(1, 19)))
        digits += "." + rng.choice(["", "0", "00", "5", "25"]) if rng.random() < 0.6 else ""
        exponent += str(rng.randrange(-3, 25)) if exponent else ""
        texts.append(sign + digits + exponent.replace("+-", "-") + rng.choice(["", "", " "]))
    return texts


def test_labels_and_features_have_the_same_forms():
    texts = random_texts(6000)
    expected = [python_form(text, MISSING_VALUES) for text in texts]
    forms = graph_forms(texts)
    in_arrow = arrow_forms(texts)
    differing = [
        t for t in zip(texts, expected, forms, in_arrow, strict=True) if not t[1] == t[2] == t[3]
    ]
    assert not differing
    changed = sum(text != form for text, form in zip(texts, forms, strict=True))
    assert 1000 < changed < 5000
    assert forms.count(MISSING) > 50


def test_a_canonical_form_is_unchanged():
    texts = random_texts(4000)
    forms = [canonicalize(text) for text in texts]
    assert [canonicalize(form) for form in forms] == forms
    once = graph_forms(texts)
    assert graph_forms(once) == once


def test_shapes_stay():
    values = tf.constant([[" a", "1.0"], ["NA", "b"], ["TRUE", ""]])
    forms = canonicalize_text(values, MISSING_VALUES)
    assert forms.numpy().tolist() == [[b"a", b"1"], [b"\t", b"b"], [b"true", b"\t"]]
    assert canonicalize_text(tf.zeros([0, 3], tf.string), MISSING_VALUES).shape == (0, 3)


def test_bytes_that_are_not_text_do_no_harm():
    values = tf.constant([b"\xff\xfe", b"a\xff ", b"1.0"])
    assert canonicalize_text(values, MISSING_VALUES).numpy()[2] == b"1"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (3.0, "3"),
        (-3.0, "-3"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (16777216.0, "16777216"),
        (1e7, "10000000"),
        (123456792.0, "123456792"),
        (3e9, "3000000000"),
        (1e20, "1e+20"),
        (2.5e-7, "2.5e-07"),
        (0.30000001192092896, "0.3"),
        (0.3000001, "0.3000001"),
        (16777.217, "16777.217"),
        (-1.17549435e-38, "-1.1754944e-38"),
    ],
)
def test_text_of_a_number(number, text):
    assert number_text_in_numpy(np.array([number], np.float32)).tolist() == [text]
    assert format_numbers(tf.constant([number], tf.float32)).numpy().tolist() == [text.encode()]
    assert canonicalize(text) == text


def test_text_of_numbers_is_the_same_in_numpy_and_in_graphs():
    rng = np.random.default_rng(3)
    numbers = [
        rng.integers(0, 2**32, 4000, np.uint32).view(np.float32),  # of any size
        rng.normal(0, 100, 2000).astype(np.float32),
        rng.integers(-(2**40), 2**40, 1000).astype(np.float32),
        np.round(rng.uniform(0, 1000, 2000), 2).astype(np.float32),
    ]
    numbers = np.concatenate(numbers)
    numbers = numbers[np.isfinite(numbers)]
    in_numpy = number_text_in_numpy(numbers)
    in_graph = [text.decode() for text in format_numbers(tf.constant(numbers)).numpy()]
    # TensorFlow reads numbers below the smallest normal one as 0; no data hold these.
    normal = np.abs(numbers) >= np.finfo(np.float32).tiny
    assert in_numpy[normal].tolist() == np.array(in_graph, object)[normal].tolist()
    np.testing.assert_array_equal(in_numpy.astype(np.float32), numbers)
    assert [canonicalize(text) for text in in_numpy] == in_numpy.tolist()


def test_whole_numbers_of_other_types_are_their_digits():
    assert number_text_in_numpy(np.array([2**60 + 1, -7])).tolist() == [str(2**60 + 1), "-7"]
    assert number_text_in_numpy(np.array([3.0, 0.1, 1e16])).tolist() == [
        *("3", "0.1", "10000000000000000")
    ]
