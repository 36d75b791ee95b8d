import textwrap

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.spec import Categorical, DatasetSpec, Numeric, Task
from mptrec_tf.spec_yaml import load, parse

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
        categorical=(
            Categorical("color"),
            Categorical("item", min_count=5),
            Categorical("shop", hash_buckets=100),
        ),
        numeric=(Numeric("age"), Numeric("price", "log"), Numeric("height", "standard")),
        tasks=(
            Task("buy", "bought", positive=("1",), negative=("0", "")),
            Task("stay", "seconds", above=30.5),
            Task("like", "reaction", positive=("love", "yes"), known_probability="p_like"),
        ),
        user_id="user",
    )


def test_json_of_a_loaded_spec_is_read_back():
    spec = parse(GOOD, "my.yaml")
    assert DatasetSpec.from_json(spec.to_json()) == spec


def test_everything_wrong_is_reported_at_once_with_file_and_line():
    found = errors("""\
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
        - {name: color, unit: cm}
        tasks:
        - {name: buy, label: bought, positive: 1}
        - {name: a b, label: x, above: high}
        - {label: y}
        - name: stay
          label: seconds
        user_id: [a, b]
        user_id: u
        """)
    assert found == [
        "my.yaml, line 2: unknown key 'colour' in the spec; known: name, categorical, numeric, "
        "tasks, user_id, weight.",
        "my.yaml, line 5: min_count must be a whole number, not 'many'.",
        "my.yaml, line 6: column 'bought' makes the label of task 'buy', so it cannot be a "
        "feature; remove it from the features.",
        "my.yaml, line 7: a categorical feature needs name.",
        "my.yaml, line 9: scale must be text.",
        "my.yaml, line 10: 'height': scale must be one of min_max, standard, log, not 'zscore'.",
        "my.yaml, line 11: feature 'color' is listed twice.",
        "my.yaml, line 11: unknown key 'unit' in a numeric feature; known: name, scale.",
        "my.yaml, line 14: above must be a number, not 'high'.",
        "my.yaml, line 14: task name 'a b' must be letters, digits and _ and begin with a letter.",
        "my.yaml, line 15: a task needs name.",
        "my.yaml, line 15: task 'line_15': say what counts as positive, by either positive or "
        "above.",
        "my.yaml, line 16: task 'stay': say what counts as positive, by either positive or above.",
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
            "task 't': say what counts as positive",
        ),
    ],
)
def test_one_mistake(text, line, message):
    assert any(e.startswith(f"my.yaml, line {line}: {message}") for e in errors(text))


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file(text):
    assert errors(text) == ["my.yaml: the file is empty; it should hold a data set's spec."]


def test_load_refuses_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the spec file .*/no.yaml: No such file"):
        load(tmp_path / "no.yaml")


def test_load_refuses_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InputError, match=r"spec.yaml is not UTF-8 text \(invalid continuation"):
        load(path)
