import dataclasses
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from mptrec_tf.storage.plain import fields_from_plain, fields_to_plain, from_plain, to_plain


@dataclasses.dataclass(frozen=True)
class _Inner:
    units: tuple[int, ...]
    rate: float = 0.5


@dataclasses.dataclass(frozen=True)
class _Outer:
    name: str
    inner: _Inner
    more: tuple[_Inner, ...] = ()
    ranges: tuple[tuple[int, int, int], ...] = ()
    by_name: Mapping[str, _Inner] = dataclasses.field(default_factory=dict)
    maybe: _Inner | None = None
    words: frozenset[str] = frozenset()
    either: int | str = 1
    anything: Any = None
    constant: ClassVar[str] = "no field"


_VALUE = _Outer(
    "a",
    _Inner((1, 2)),
    (_Inner((), 1.0), _Inner((3,))),
    ((0, 1, 2), (3, 4, 5)),
    {"x": _Inner((4,))},
    _Inner((5,), 2.0),
    frozenset({"v", "u"}),
    "text",
    {"k": [1]},
)
_PLAIN = {
    "name": "a",
    "inner": {"units": [1, 2], "rate": 0.5},
    "more": [{"units": [], "rate": 1.0}, {"units": [3], "rate": 0.5}],
    "ranges": [[0, 1, 2], [3, 4, 5]],
    "by_name": {"x": {"units": [4], "rate": 0.5}},
    "maybe": {"units": [5], "rate": 2.0},
    "words": ["u", "v"],
    "either": "text",
    "anything": {"k": [1]},
}


def test_nested_dataclasses_become_plain_data_and_come_back():
    assert to_plain(_VALUE) == _PLAIN
    assert from_plain(_Outer, json.loads(json.dumps(_PLAIN))) == _VALUE


def test_defaults_stand_in_for_fields_that_are_left_out():
    made = from_plain(_Outer, {"name": "a", "inner": {"units": [1]}, "maybe": None})
    assert made == _Outer("a", _Inner((1,)))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"units": [1], "width": 3}, "width"),
        ({}, "units"),
        ({"units": 3}, r"3 should be tuple\[int, ...\]"),
        ({"units": "ab"}, "'ab' should be tuple"),
        ({"units": ["a"]}, "'a' should be int"),
        ({"units": [True]}, "True should be int"),
        ({"units": [], "rate": "a"}, "'a' should be float"),
        ([1], "_Inner should be a mapping"),
    ],
)
def test_data_of_another_type_are_rejected(raw, message):
    with pytest.raises(TypeError, match=message):
        from_plain(_Inner, raw)


def test_a_whole_number_is_a_float():
    assert from_plain(_Inner, {"units": [], "rate": 2}).rate == 2


def test_an_object_without_a_plain_form_is_rejected():
    with pytest.raises(TypeError, match="object has no plain form"):
        to_plain({"a": object()})


@dataclasses.dataclass(frozen=True)
class _Kind:
    name: str

    def to_plain(self):
        return {"kind": type(self).__name__, **fields_to_plain(self)}

    @classmethod
    def from_plain(cls, raw):
        fields = dict(raw)
        kind = {"_First": _First, "_Second": _Second}[fields.pop("kind")]
        return fields_from_plain(kind, fields)


@dataclasses.dataclass(frozen=True)
class _First(_Kind):
    size: int = 1


@dataclasses.dataclass(frozen=True)
class _Second(_Kind):
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Kinds:
    kinds: tuple[_Kind, ...]


def test_a_class_may_define_its_plain_form():
    kinds = _Kinds((_First("a", 2), _Second("b", (3,))))
    plain = {
        "kinds": [
            {"kind": "_First", "name": "a", "size": 2},
            {"kind": "_Second", "name": "b", "sizes": [3]},
        ]
    }
    assert to_plain(kinds) == plain
    assert from_plain(_Kinds, plain) == kinds
