import dataclasses

import pytest
from absl import flags

from mptrec_tf.bin import shape_flags
from mptrec_tf.settings import setting


@dataclasses.dataclass(frozen=True)
class Shape:
    of_data: int
    units: tuple[int, ...] = setting((8, 4), "Layers.")
    width: int = setting(3, "Width.", low=1, high=9)
    rate: float = setting(0.5, "Rate.", low=0.0)
    over: str = setting("table", "Over what.", choices=("table", "batch"))
    path: str = setting("", "Where.")
    ranks: bool = setting(False, "Whether to rank.")
    silent: int = setting(1)


@dataclasses.dataclass(frozen=True)
class Other:
    width: int = setting(5, "Another text, which the first one hides.", low=1)
    depth: int = setting(2, "Depth.", low=1)


def parse(*given, classes=(Shape, Other)):
    values = flags.FlagValues()
    shape_flags.define(*classes, flag_values=values)
    values(["program", *given])
    return values


def test_a_flag_for_each_field_with_a_help_text():
    values = parse()
    names = {"units", "width", "rate", "over", "path", "ranks", "depth"}
    assert {name for name in values if not name.startswith("help")} >= names
    assert not {"of_data", "silent"} & set(values)
    assert values["width"].help == "Width."
    assert all(values[name].default is None for name in names)
    assert shape_flags.read_fields(Shape, Other, flag_values=values) == {}


def test_given_flags_have_the_types_of_their_fields():
    values = parse("--units=5,6", "--width=2", "--rate=1", "--over=batch", "--ranks", "--depth=7")
    fields = shape_flags.read_fields(Shape, flag_values=values)
    assert fields == {"units": (5, 6), "width": 2, "rate": 1.0, "over": "batch", "ranks": True}
    assert shape_flags.read_fields(Other, flag_values=values) == {"width": 2, "depth": 7}
    assert shape_flags.read_fields(Shape, flag_values=parse("--noranks")) == {"ranks": False}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--units=5,x", "--units must be positive whole numbers, such as 64,32"),
        ("--units=", "--units must be positive whole numbers"),
        ("--width=10", "not an integer in the range"),
        ("--rate=-1", "non-negative number"),
        ("--over=row", "should be one of <table|batch>"),
    ],
)
def test_values_out_of_bounds_are_rejected(given, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message.replace("|", "\\|")):
        parse(given)


def test_fields_that_no_flag_can_be_made_of_are_rejected():
    @dataclasses.dataclass
    class Text:
        width: str = setting("3", "Width.")

    with pytest.raises(ValueError, match=r"one type and the same choices. Received: 'width'"):
        parse(classes=(Shape, Text))

    @dataclasses.dataclass
    class Sets:
        names: frozenset = setting(frozenset(), "Names.")

    with pytest.raises(ValueError, match=r"should be of int, .* Received: 'names' of <class"):
        parse(classes=(Sets,))
