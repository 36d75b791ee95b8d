import pytest

from mptrec_tf.data.text_format import TextFormat


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
        ({"header": ()}, "header must name the columns, in their order"),
        ({"header": ("a", "b", "a")}, "header names column 'a' twice"),
    ],
)
def test_problems(fields, problem):
    [message] = TextFormat(**fields).problems()
    assert message.startswith(problem)


def test_unused_columns_need_no_name():
    assert TextFormat(header=("a", "", "b", "")).problems() == []
