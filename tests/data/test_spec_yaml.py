import textwrap

import pytest

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import load, parse
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

GOOD = """\
name: shop
categorical:
- color
- {name: item, min_count: 5}
- name: shop
  hash_buckets: 100
numeric:
- age
- {name: price, scale: log}
- {name: height, scale: standard}
tasks:
- {name: buy, label: bought, positive: 1, negative: [0, ""]}
- {name: stay, label: seconds, above: 30.5}
- name: like
  label: reaction
  positive: [love, yes]
  known_probability: p_like
user_id: user
weight:
"""


def errors(text):
    with pytest.raises(InputError) as caught:
        parse(textwrap.dedent(text), "my.yaml")
    return str(caught.value).splitlines()


def test_a_whole_spec(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(GOOD)
    assert load(path) == DatasetSpec(
        name="shop",
        features=(
            Categorical("color"),
            Categorical("item", min_count=5),
            Categorical("shop", hash_buckets=100),
            Numeric("age"),
            Numeric("price", "log"),
            Numeric("height", "standard"),
        ),
        tasks=(
            BinaryTask("buy", "bought", positive=("1",), negative=("0", "")),
            BinaryTask("stay", "seconds", above=30.5),
            BinaryTask("like", "reaction", positive=("love", "yes"), known_probability="p_like"),
        ),
        user_id="user",
    )


def test_json_of_a_loaded_spec_is_read_back():
    spec = parse(GOOD, "my.yaml")
    assert DatasetSpec.from_json(spec.to_json()) == spec


MORE = """\
name: shop
categorical:
- {name: color, exact: true}
- {name: price, min_count: 3}
numeric: [price]
tasks:
- {name: buy, label: bought, positive: "TRUE ", exact: yes}
- {name: like, label: liked, positive: TRUE, negative: 0.0}
missing_values: [NA, null, ~, -999, ""]
delimiter: semicolon
escape: "\\\\"
header: [color, price, bought, liked, 2024]
"""


def test_how_values_and_files_are_written():
    assert parse(MORE, "my.yaml") == DatasetSpec(
        name="shop",
        features=(
            Categorical("color", exact=True),
            Categorical("price", min_count=3),
            Numeric("price"),
        ),
        tasks=(
            BinaryTask("buy", "bought", positive="TRUE ", exact=True),
            BinaryTask("like", "liked", positive="true", negative="0"),
        ),
        missing_values=("NA", "null", "~", "-999", ""),
        text_format=TextFormat(";", "\\", ("color", "price", "bought", "liked", "2024")),
    )


@pytest.mark.parametrize("delimiter", ["tab", '"\\t"', r"\t"])
def test_a_tab_has_three_spellings(delimiter):
    spec = parse(f"name: a\nnumeric: [b]\ntasks: [{TASK}]\ndelimiter: {delimiter}", "my.yaml")
    assert spec.text_format == TextFormat("\t")


TASK = "{name: t, label: c, positive: 1}"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "delimiter: '::'",
            "delimiter must be a single character other than a quote or a line",
        ),
        ("delimiter: [a]", "delimiter must be text"),
        ("escape: quote", "escape must be a single character other than a quote"),
        ("header: color", "header must be a list of texts"),
        ("header: [a, a]", "header names column 'a' twice"),
        ("header: []", "header must name the columns, in their order"),
        ("missing_values: NA", "missing_values must be a list of texts"),
        ("missing_values: [[NA]]", "missing_values must be a list of texts"),
        ("categorical: [{name: c2, exact: 1}]", "exact must be true or false, not '1'"),
        ("categorical: [{name: b, exact: true}]", "'b' is also a number, so its text cannot be"),
        ("example_types: {b: int64}", "unknown key 'example_types' in the spec"),
    ],
)
def test_a_mistake_in_how_values_are_written(more, message):
    text = f"name: a\nnumeric: [b]\ntasks: [{TASK}]\n{more}\n"
    assert [e for e in errors(text) if e.startswith(f"my.yaml, line 4: {message}")]


def test_everything_wrong_is_reported_at_once_with_file_and_line():
    problems = errors("""\
        name: shop
        colour: red
        categorical:
        - color
        - {name: item, min_count: many}
        - bought
        - {min_count: 2}
        numeric:
        - {name: price, scale: [log]}
        - {name: height, scale: zscore}
        - {name: height, unit: cm}
        tasks:
        - {name: buy, label: bought, positive: 1}
        - {name: a b, label: x, above: high}
        - {label: y}
        - name: stay
          label: seconds
        user_id: [a, b]
        user_id: u
        """)
    assert problems == [
        "my.yaml, line 2: unknown key 'colour' in the spec; known: name, categorical, numeric, "
        "buckets, piecewise, times, ages, crosses, bags, sequences, vectors, tasks, user_id, "
        "weight, missing_values, delimiter, escape, header, quote, encoding, decimal, skip_rows.",
        "my.yaml, line 5: min_count must be a whole number, not 'many'.",
        "my.yaml, line 6: column 'bought' is the label of task 'buy', so it cannot be a "
        "feature; remove it from the features.",
        "my.yaml, line 7: a categorical feature needs name.",
        "my.yaml, line 9: scale must be text.",
        "my.yaml, line 10: 'height': scale must be one of min_max, standard, log, not 'zscore'.",
        "my.yaml, line 11: feature 'height' is listed twice.",
        "my.yaml, line 11: unknown key 'unit' in a numeric feature; known: name, scale, missing.",
        "my.yaml, line 14: above must be a number, not 'high'.",
        "my.yaml, line 14: task name 'a b' must be letters, digits and _ and begin with a letter.",
        "my.yaml, line 15: a task needs name.",
        "my.yaml, line 15: task 'line_15': state what counts as positive, by either positive or "
        "above.",
        "my.yaml, line 16: task 'stay': state what counts as positive, by either positive or "
        "above.",
        "my.yaml, line 18: user_id must be text.",
        "my.yaml, line 19: key 'user_id' comes twice in the spec.",
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: a\ncategorical: [a\nnumeric: b", 3, "not valid YAML"),
        ("name: a\n\tcategorical: b", 2, "not valid YAML"),
        ("name: a\nnumeric: [\x00]", 2, "not valid YAML: special characters are not allowed"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML"),
        ("- a\n- b", 1, "the spec must be `key: value` lines"),
        ("name: a\ncategorical: color\n", 2, "categorical must be a list"),
        ("name: a\nnumeric: [[a]]", 2, "a numeric feature must be `key: value` lines"),
        ("name: a\nnumeric:\n- b\n-\n", 4, "a numeric feature must be `key: value` lines"),
        ("name: a\ntasks: [buy]", 2, "a task must be `key: value` lines"),
        ("name: a\n[b]: c\n", 2, "unknown key '...' in the spec"),
        ("numeric: [a]", 1, "the spec needs a name"),
        ("name: a\nnumeric: [b]", 1, "it has no task; list at least one under tasks"),
        (
            "name: a\nnumeric: [b]\ntasks:\n- {name: t, label: c, positive: [[1]]}",
            4,
            "positive must be a single value",
        ),
        (
            "name: a\nnumeric: [b]\ntasks:\n- name: t\n  label: c\n  positive:\n",
            4,
            "task 't': state what counts as positive",
        ),
    ],
)
def test_one_mistake(text, line, message):
    assert any(e.startswith(f"my.yaml, line {line}: {message}") for e in errors(text))


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file(text):
    assert errors(text) == ["my.yaml: the file is empty; it should hold a data set's spec."]


def test_load_rejects_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the spec file .*/no.yaml: No such file"):
        load(tmp_path / "no.yaml")


def test_load_rejects_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InputError, match=r"spec.yaml is not UTF-8 text \(invalid continuation"):
        load(path)


@pytest.mark.parametrize("key", ["delimiter", "escape"])
def test_one_mistake_is_one_sentence(key):
    text = f"name: a\ncategorical: [x]\ntasks: [{{name: t, label: y, positive: 1}}]\n{key}: ''\n"
    with pytest.raises(InputError, match=rf"^spec, line 4: {key} must be text\.$"):
        parse(text, "spec")
