import dataclasses
import json
import subprocess
import sys

import pytest

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec, check_same_features
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

SPEC = DatasetSpec(
    name="shop",
    features=(
        Categorical("color", min_count=2),
        Categorical("shop", hash_buckets=7),
        Numeric("price", "log"),
        Numeric("age"),
    ),
    tasks=(
        BinaryTask("buy", "bought", positive=("1",), negative=("0",), known_probability="p_buy"),
        BinaryTask("long_stay", "seconds", above=30.5),
        BinaryTask("red_or_blue", "mood", positive=("red", "blue")),
    ),
    user_id="user",
    weight="w",
)


def change(**fields):
    categorical = fields.pop("categorical", SPEC.categorical)
    numeric = fields.pop("numeric", SPEC.numeric)
    return dataclasses.replace(SPEC, features=(*categorical, *numeric), **fields)


def test_importing_the_spec_imports_no_tensorflow():
    code = (
        "import mptrec_tf.data.spec, sys; print('tensorflow' in sys.modules, 'yaml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_task_takes_one_value_or_several():
    assert BinaryTask("t", "c", positive="yes") == BinaryTask("t", "c", positive=("yes",))
    assert BinaryTask("t", "c", positive=1.0) == BinaryTask("t", "c", positive=[" 1"])


def test_json_round_trip():
    assert DatasetSpec.from_json(SPEC.to_json()) == SPEC
    assert DatasetSpec.from_json(SPEC.to_json()).tasks[1].above == 30.5


def test_json_holds_all_fields():
    spec = change(
        categorical=(Categorical("color", exact=True),),
        tasks=(BinaryTask("t", "l", positive=("TRUE",), exact=True),),
        missing_values=("none", "-999"),
        text_format=TextFormat("tab", "backslash", ("color", "price", "age", "l")),
        example_types={"color": "int64"},
    )
    assert DatasetSpec.from_json(spec.to_json()) == spec


def test_a_spec_of_a_version_before_0_2_is_named():
    raw = json.loads(SPEC.to_json())
    del raw["missing_values"]
    with pytest.raises(InputError, match=r"'shop' was prepared by a version .* before 0\.2, .*tra"):
        DatasetSpec.from_json(json.dumps(raw))


def test_task_round_trip():
    for task in SPEC.tasks:
        assert task_from_plain(task.to_plain()) == task


def test_label_values_are_compared_in_their_canonical_form():
    task = BinaryTask("t", "c", positive=("Yes ", 1.0, "TRUE"), negative=(0, "NO"))
    assert (task.positive, task.negative) == (("Yes", "1", "true"), ("0", "NO"))
    assert task.form(" 1.0") == "1"
    exact = BinaryTask("t", "c", positive=("Yes ", "1.0"), exact=True)
    assert exact.positive == ("Yes ", "1.0")
    assert exact.form("1.0") == "1.0"
    with pytest.raises(InputError, match="'1' is both positive and negative"):
        change(tasks=(BinaryTask("t", "l", positive="1", negative="1.0"),))
    change(tasks=(BinaryTask("t", "l", positive="1", negative="1.0", exact=True),))


def test_a_column_may_be_a_category_and_a_number():
    both = Categorical("price", min_count=3)
    spec = change(categorical=(*SPEC.categorical, both))
    assert spec.feature_names == ("color", "shop", "price", "age")
    assert [both.raw_type(spec), SPEC.features[0].raw_type(spec)] == ["number", "text"]
    assert spec.raw_columns == {
        "color": SPEC.features[0],
        "shop": SPEC.features[1],
        "price": SPEC.features[2],
        "age": SPEC.features[3],
    }


def test_names():
    assert SPEC.feature_names == ("color", "shop", "price", "age")
    assert SPEC.task_names == ("buy", "long_stay", "red_or_blue")


def test_select_tasks_has_the_requested_order():
    names = [task.name for task in SPEC.select_tasks(["red_or_blue", "buy"])]
    assert names == ["red_or_blue", "buy"]


def test_select_tasks_rejects_an_unknown_task():
    message = "unknown task 'sell': data set 'shop' has buy, long_stay, red_or_blue"
    with pytest.raises(InputError, match=message):
        SPEC.select_tasks(["buy", "sell"])


def test_select_tasks_rejects_a_task_named_twice():
    with pytest.raises(InputError, match="task 'buy' is named twice in 'buy,buy'"):
        SPEC.select_tasks(["buy", "buy"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"categorical": (), "numeric": ()}, "it has no feature"),
        ({"tasks": ()}, "it has no task"),
        ({"categorical": (Categorical("c"),) * 2}, "feature 'c' is listed twice"),
        ({"numeric": (Numeric("n"), Numeric("n", "log"))}, "feature 'n' is listed twice"),
        (
            {"categorical": (Categorical("price", exact=True),)},
            "'price' is also a number, so its text cannot be exact",
        ),
        ({"text_format": TextFormat(delimiter="::")}, "delimiter must be a single character"),
        (
            {"categorical": (Categorical("mood"),)},
            "column 'mood' is the label of task 'red_or_blue', so it cannot be a feature",
        ),
        ({"numeric": (Numeric("p_buy"),)}, "column 'p_buy' is a known probability"),
        ({"numeric": (Numeric("w"),)}, "column 'w' is the weight"),
        ({"numeric": (Numeric(""),)}, "feature name '' must be text"),
        ({"numeric": (Numeric("a\tb"),)}, r"feature name 'a\\tb' must be text without line ends"),
        ({"categorical": (Categorical("c", min_count=0),)}, "'c': min_count must be 1 or more"),
        ({"categorical": (Categorical("c", 1, 0),)}, "'c': hash_buckets must be 1 or more"),
        ({"categorical": (Categorical("c", 2, 9),)}, "'c': give min_count or hash_buckets"),
        (
            {"numeric": (Numeric("n", "zscore"),)},
            "'n': scale must be one of min_max, standard, log, not 'zscore'",
        ),
        (
            {"tasks": (BinaryTask("a b", "l", positive="1"),)},
            "task name 'a b' must be letters, digits",
        ),
        ({"tasks": SPEC.tasks[:1] * 2}, "task 'buy' is listed twice"),
        (
            {"tasks": (BinaryTask("t", "l", "1", given="view"),)},
            r"which is no task of the spec \(there is no other\); name it, too",
        ),
        (
            {"tasks": (BinaryTask("t", "l", "1", given="t"),)},
            "task 't': given names 't', which is given 't' itself",
        ),
        (
            {
                "tasks": (
                    BinaryTask("a", "l", "1", given="b"),
                    BinaryTask("b", "m", "1", given="c"),
                    BinaryTask("c", "n", "1", given="a"),
                )
            },
            "task 'c': given names 'a', which is given 'c' itself",
        ),
        (
            {
                "tasks": (
                    BinaryTask("t", "l", "1", given="watch"),
                    RegressionTask("watch", "s"),
                )
            },
            "task 't': given names 'watch', whose prediction is no probability",
        ),
        ({"tasks": (BinaryTask("t", "l"),)}, "task 't': state what counts as positive"),
        (
            {"tasks": (BinaryTask("t", "l", positive="1", above=1),)},
            "task 't': state what counts as",
        ),
        (
            {"tasks": (BinaryTask("t", "l", negative="0", above=1),)},
            "task 't': negative goes with positive, not with above",
        ),
        (
            {"tasks": (BinaryTask("t", "l", above=float("nan")),)},
            "task 't': above must be a finite",
        ),
        (
            {"tasks": (BinaryTask("t", "l", positive=("1", "2"), negative=("2.0",)),)},
            "task 't': '2' is both positive and negative",
        ),
    ],
)
def test_wrong_specs_are_rejected(fields, message):
    with pytest.raises(InputError, match=f"^data set 'shop': .*{message}"):
        change(**fields)


def test_all_problems_are_named_at_once():
    with pytest.raises(InputError) as caught:
        change(numeric=(Numeric("color", "zscore"),) * 2, tasks=(BinaryTask("a b", "l"),))
    for part in (
        "'color' is listed twice",
        "scale must be",
        "task name 'a b'",
        "state what counts",
    ):
        assert part in str(caught.value)


def test_two_tasks_may_share_a_label_column_and_a_user_may_be_a_feature():
    spec = change(
        categorical=(Categorical("user"),),
        tasks=(BinaryTask("short", "seconds", above=5), BinaryTask("long", "seconds", above=60)),
    )
    assert spec.user_id in spec.feature_names


def test_same_features():
    check_same_features(SPEC, change(name="other", tasks=SPEC.tasks[:1], weight=None), "a", "b")


def test_other_features_are_named():
    other = change(numeric=(Numeric("height"),))
    message = (
        r"^data A has other features than backbone B \(only the first has age, price; "
        r"only the second has height\)\.$"
    )
    with pytest.raises(InputError, match=message):
        check_same_features(SPEC, other, "data A", "backbone B")


@pytest.mark.parametrize(
    "fields",
    [
        {"numeric": (Numeric("price"), Numeric("age"))},
        {"missing_values": ("NA",)},
        {"categorical": (Categorical("color", 2, exact=True), SPEC.categorical[1])},
    ],
)
def test_other_settings_are_other_features(fields):
    with pytest.raises(InputError, match="the same columns in another order or with other"):
        check_same_features(SPEC, change(**fields), "data A", "backbone B")


def test_the_text_format_is_not_part_of_the_features():
    other = change(text_format=TextFormat(delimiter=";"), example_types={"shop": "int64"})
    check_same_features(SPEC, other, "data A", "backbone B")
