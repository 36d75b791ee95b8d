import pytest

from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.storage.plain import from_plain, to_plain


@pytest.mark.parametrize(
    ("given", "delimiter"),
    [
        *((";", ";"), ("semicolon", ";"), ("tab", "\t"), ("\\t", "\t"), ("\t", "\t")),
        *(("pipe", "|"), ("comma", ","), ("space", " "), ("\x01", "\x01"), ("§", "§")),
        *(("Tab", "\t"), ("PIPE", "|"), ("^A", "\x01"), ("\\x01", "\x01"), ("\\001", "\x01")),
    ],
)
def test_delimiters_by_name(given, delimiter):
    text_format = TextFormat(given)
    assert text_format.delimiter == delimiter
    assert text_format.problems() == []
    assert text_format.for_file("rows.tsv").delimiter == delimiter


@pytest.mark.parametrize(
    ("path", "delimiter"),
    [
        *(("rows.csv", ","), ("rows", ","), ("rows.tsv", "\t"), ("gs://b/ROWS.TSV", "\t")),
        *(("rows.tab", "\t"), ("rows.tsv.gz", "\t"), ("rows.tsv.gz.gz", "\t")),
        *(("rows.tsv.zst", "\t"), ("rows.TSV.BZ2", "\t"), ("rows.tsv.xz", "\t")),
        *(("rows.csv.gz", ","), ("tsv", ","), ("rows.tsv.csv", ",")),
    ],
)
def test_a_files_name_decides_its_delimiter(path, delimiter):
    assert TextFormat(header=("a",)).for_file(path) == TextFormat(delimiter, header=("a",))


def test_lists_and_names_are_accepted():
    text_format = TextFormat(escape="backslash", header=["a", "b"])
    assert text_format == TextFormat(escape="\\", header=("a", "b"))
    assert hash(text_format) == hash(TextFormat(escape="\\", header=("a", "b")))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"delimiter": ""},
            "delimiter must be a single character other than a quote or a line end",
        ),
        (
            {"delimiter": "||"},
            "delimiter must be a single character other than a quote or a line end, not '||'",
        ),
        ({"delimiter": '"'}, "delimiter must be a single character other than a quote"),
        ({"delimiter": "\n"}, "delimiter must be a single character"),
        ({"escape": "\0"}, "escape must be a single character"),
        ({"delimiter": "\\", "escape": "backslash"}, "delimiter and escape are both"),
        ({"delimiter": "'", "quote": "single"}, "delimiter must be a single character other"),
        ({"quote": "''"}, "quote must be a single character other than a line end, or none"),
        ({"quote": "\n"}, "quote must be a single character"),
        ({"encoding": "utf8x"}, "encoding 'utf8x' is none that Python knows; give utf-8, latin-1"),
        ({"encoding": "hex"}, "encoding 'hex' is none that Python knows"),
        ({"encoding": ""}, "encoding '' is none that Python knows"),
        ({"decimal": ";"}, "decimal must be a comma or a point, not ';'"),
        ({"skip_rows": -1}, "skip_rows must be 0 or more, not -1"),
        ({"header": ()}, "header must name the columns, in their order"),
        ({"header": ("a", "b", "a")}, "header names column 'a' twice"),
    ],
)
def test_problems(fields, problem):
    [message] = TextFormat(**fields).problems()
    assert message.startswith(problem)


def test_unused_columns_need_no_name():
    assert TextFormat(header=("a", "", "b", "")).problems() == []


def test_options_by_name():
    text_format = TextFormat(quote="None", decimal="comma", encoding="Latin-1", skip_rows=2)
    assert (text_format.mark, text_format.decimal, text_format.is_utf8) == ("", ",", False)
    assert text_format.problems() == []
    assert TextFormat().mark == TextFormat(quote='"').mark == '"'
    assert all(TextFormat(encoding=name).is_utf8 for name in ("UTF8", "utf-8-sig"))
    assert TextFormat(delimiter='"', quote="none").problems() == []


def test_the_plain_form_has_later_options_only_if_they_are_given():
    """So that fingerprints of specs stay."""
    old = {"delimiter": ";", "escape": None, "header": None}
    assert to_plain(TextFormat(";")) == old
    new = TextFormat(";", quote="none", skip_rows=3)
    assert to_plain(new) == {**old, "quote": "", "skip_rows": 3}
    assert from_plain(TextFormat, to_plain(new)) == new


def test_first_bytes_that_are_not_in_the_encoding():
    assert TextFormat(encoding="utf-16").to_utf8(b"a,b") == b"a,b"
    assert TextFormat(encoding="utf-16").to_utf8("ä,b".encode("utf-16")) == "ä,b".encode()
