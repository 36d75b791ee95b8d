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
    made = TextFormat(given)
    assert made.delimiter == delimiter
    assert made.problems() == []
    assert made.for_file("rows.tsv").delimiter == delimiter


@pytest.mark.parametrize(
    ("path", "delimiter"),
    [
        *(("rows.csv", ","), ("rows", ","), ("rows.tsv", "\t"), ("gs://b/ROWS.TSV", "\t")),
        *(("rows.tab", "\t"), ("rows.tsv.gz", "\t"), ("rows.tsv.gz.gz", "\t")),
        *(("rows.csv.gz", ","), ("tsv", ","), ("rows.tsv.csv", ",")),
    ],
)
def test_a_files_name_says_its_delimiter(path, delimiter):
    assert TextFormat(header=("a",)).for_file(path) == TextFormat(delimiter, header=("a",))


def test_lists_and_names_are_taken():
    made = TextFormat(escape="backslash", header=["a", "b"])
    assert made == TextFormat(escape="\\", header=("a", "b"))
    assert hash(made) == hash(TextFormat(escape="\\", header=("a", "b")))


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
def test_what_is_wrong(fields, problem):
    [found] = TextFormat(**fields).problems()
    assert found.startswith(problem)


def test_columns_that_nobody_uses_need_no_name():
    assert TextFormat(header=("a", "", "b", "")).problems() == []
