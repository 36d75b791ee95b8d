import pytest

from mptrec_tf.data.describing.text_guess import (
    escapes_quotes,
    find_long_delimiter,
    guess_delimiter,
    has_header,
    parse_rows,
)
from mptrec_tf.data.text_format import TextFormat

COMMAS = TextFormat(",")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n3,5;4\n", ";"),
        ("a\tb\tc\n1\t2,5\t3\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("a,b,c\n1,x|y,2\n2,x,3\n", ","),
        ("1 2 3\n4 5 6\n", " "),
        ("id,text\n1,two words\n2,three more words\n", ","),
        ('a,b\n"1;2;3",5\n"4;5;6",6\n', ","),
        ("a\x01b\n1\x012\n", "\x01"),
        ("only\n1\n2\n", ","),
        ("", ","),
    ],
)
def test_delimiters(text, delimiter):
    assert guess_delimiter(text, ",") == delimiter


def test_a_file_s_own_delimiter_wins_a_tie():
    assert guess_delimiter("a,b\tc,d\n1,2\t3,4\n", "\t") == ","
    assert guess_delimiter("a,b\tc\n1,2\t3\n", "\t") == "\t"


def test_delimiters_of_two_characters():
    assert find_long_delimiter("1::1193::5\n1::661::3\n") == "::"
    assert find_long_delimiter("a,b\n12:30,1\n") is None
    assert find_long_delimiter("") is None


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("user,age\nann,3\n", True),
        ("city\nBern\nThun\n", True),
        (",x\n0,a\n1,b\n", True),
        ("a, b\n1, 2\n", True),
        ("ann,3\nbob,4\n", False),
        ("red,blue\nblue,red\nred,red\n", False),
        ("x,x\n1,2\n", True),
        ("red,?\nblue,1\n", False),
        ("My table\na,b\n1,2\n", False),
        ("a,,b\n1,2,3\n", False),
    ],
)
def test_headers(text, header):
    assert has_header(parse_rows(text, COMMAS)) == header


def test_rows_are_those_of_the_reader():
    assert parse_rows('a, b\n\n "x, y",2\n', COMMAS) == [["a", "b"], ["x, y", "2"]]
    assert parse_rows('a,b\n"x\ny",2\n', COMMAS) == [["a", "b"], ["x\ny", "2"]]
    assert escapes_quotes('a,"say \\"hi\\""')
    assert parse_rows('"say \\"hi\\"",1\n', TextFormat(",", escape="\\")) == [['say "hi"', "1"]]
