import pytest
import yaml

from mptrec_tf.data.describing.draft import draft_spec
from mptrec_tf.data.describing.renderers import CATEGORY, Line, show, write_mapping, write_scalar
from mptrec_tf.data.describing.sample import read_sample
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.piecewise import Piecewise
from mptrec_tf.data.features.times import Time
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

TAGS = ("a|b", "b", "c|a", "b|c")
SHOP = "user_id,session,price,age,tags,at,country,clicked,bought,seconds_watched\n" + "".join(
    f"u{n % 40},{n},{n % 97 / 4},{n % 50 + 18 if n % 9 else ''},{TAGS[n % 4]},"
    f"2024-01-{n % 28 + 1:02},CH,{int(n % 4 == 0)},{int(n % 12 == 0)},"
    f"{n % 13 + 0.5 if n % 4 == 0 else 0}\n"
    for n in range(600)
)


def draft(tmp_path, text, rows=1000):
    path = tmp_path / "shop.v1.csv"
    path.write_text(text)
    return draft_spec(read_sample([str(path)], rows, TextFormat()))


def test_a_shop(tmp_path):
    drafted = draft(tmp_path, SHOP)
    spec = parse(drafted.text, "shop.yaml")
    assert spec.name == "shop"
    assert [f.name for f in spec.categorical] == ["user_id"]
    assert spec.numeric == (Numeric("price", "standard"), Numeric("age", "standard", "mean"))
    assert spec.section("piecewise") == (Piecewise("price"), Piecewise("age"))
    assert spec.section("bags") == (Bag("tags"),)
    assert spec.section("times") == (Time("at", parts=("weekday",)),)
    assert {t.name: dict(t.where) for t in spec.tasks} == {
        "clicked": {},
        "bought": {},
        "seconds_watched": {"clicked": ("1",)},
    }
    assert spec.user_id == "user_id"
    assert spec.text_format == TextFormat()
    for line in (
        "- {name: tags, separator: \"|\"}  # '|' between values",
        "- {name: age, scale: standard, missing: mean}  # 18 to 67, 11.2% missing",
        "- {name: at, parts: [weekday]}  # dates and times",
        "#   session: it counts the rows",
        "#   country: all rows have 'CH'",
        "#   with --split_by=time:at",
    ):
        assert line in drafted.text
    assert drafted.notes == [
        "every row with bought also has clicked: `given: clicked` predicts bought as the product "
        "of both, `where: {clicked: ...}` of those rows alone"
    ]
    [age] = [row for row in drafted.table if row["column"] == "age"]
    assert age["seems"] == "number"
    assert (age["drafted as"], age["missing"], age["distinct"]) == (
        "numeric, piecewise",
        "11.2%",
        50,
    )
    assert len(drafted.table) == 10


def test_files_without_a_header(tmp_path):
    text = draft(tmp_path, "ann;1,5;yes\nbob;2,5;no\nann;3,5;no\n").text
    assert parse(text, "x").text_format == TextFormat(
        ";", header=("column_1", "column_2", "column_3"), decimal=","
    )
    assert "  - column_1  # ann, bob" in text


@pytest.mark.parametrize(
    "name",
    [
        *("null", "a: b", "- x", "#x", "Größe (m²)", "a,b", "'q'", '"', "x\\y", "{x}", "1", "yes"),
        *("~", "\U0001f600", "a\u2028b", "a\x85b", "*x", "&x", "%", "@", "`", "!t", "?", "|", " -"),
    ],
)
def test_any_name_and_value_survives(tmp_path, name):
    value = write_scalar(name)
    assert yaml.compose(value, Loader=yaml.SafeLoader).value == name
    mapped = yaml.compose(write_mapping({"k": name, "l": [name], "m": {name: "1"}}))
    assert [key.value for key, _ in mapped.value] == ["k", "l", "m"]
    assert mapped.value[0][1].value == mapped.value[1][1].value[0].value == name
    assert "\n" not in show(name)
    assert Line(CATEGORY, {"name": name}).write("why\n").count("\n") == 0


def test_odd_columns_load(tmp_path):
    rows = "".join(f'{n % 3}:x,"#{n % 5}, null",a\x85{n % 4},{n % 2}\n' for n in range(60))
    drafted = draft(tmp_path, f'"a: b","c, #d",null,"yes?"\n{rows}')
    spec = parse(drafted.text, "x")
    assert set(spec.feature_names) == {"a: b", "c, #d", "null"}
    assert [t.label for t in spec.tasks] == ["yes?"]
    assert spec.task_names == ("yes",)


def test_nothing_to_learn(tmp_path):
    with pytest.raises(InputError, match="has no column of two values and more, so none can be a"):
        draft(tmp_path, "a,b\n1,2\n1,2\n")
    with pytest.raises(InputError, match="no column that a model could read beside the label 'y'"):
        draft(tmp_path, "a,y\nx,1\nx,0\n")


def test_a_decimal_comma_and_another_encoding(tmp_path):
    """All numbers of the file are read with it, labels included."""
    rows = [f"u{i % 7};{i % 5},{i % 4};{'Zürich' if i % 3 else 'Bern'};{i % 2}" for i in range(200)]
    text = "\n".join(["user;preis;stadt;label", *rows]) + "\n"
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode("cp1252"))
    drafted = draft_spec(read_sample([str(path)], 1000, TextFormat()))
    spec = parse(drafted.text, "x")
    assert spec.text_format == TextFormat(";", decimal=",", encoding="cp1252")
    assert 'decimal: ","  # before the fraction of numbers' in drafted.text
    assert "encoding: cp1252  # the text is not UTF-8; check its letters" in drafted.text
    assert spec.column_types["preis"] == "number"
    [row] = [row for row in drafted.table if row["column"] == "preis"]
    assert "0 to 4.3" in row["why"]


def test_commas_and_points_in_one_file(tmp_path):
    rows = [f"u{i % 7};{i % 5},{i % 4};{i}.5;{i % 2}" for i in range(200)]
    drafted = draft(tmp_path, "\n".join(["user;preis;lat;label", *rows]) + "\n")
    assert parse(drafted.text, "x").text_format == TextFormat(";")
    assert "#   preis: numbers with a decimal comma, where others have a point" in drafted.text
