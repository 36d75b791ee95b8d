"""Specs of features with several values in a row."""

import numpy as np
import pytest

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.registry import has_fixed_shapes, input_width
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.packed import count_packed_bytes
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain, to_plain

TEXT = """\
name: shop
categorical: [item]
numeric: [price]
bags:
  - tags
  - {name: words, separator: ";", weights: true, pool: sqrtn, most: 5, min_count: 2}
sequences:
  - {name: viewed, attend_to: item, hash_buckets: 100}
  - {name: bought, last: 3, exact: true}
vectors:
  - {name: title, size: 64, scale: none}
tasks: [{name: t, label: y, positive: 1}]
"""


def test_a_spec_has_them_in_yaml_and_json():
    spec = parse(TEXT, "shop.yaml")
    assert spec.features[2:] == (
        Bag("tags"),
        Bag("words", separator=";", weights=True, pool="sqrtn", most=5, min_count=2),
        ValueSequence("viewed", attend_to="item", hash_buckets=100),
        ValueSequence("bought", last=3, exact=True),
        Vector("title", 64, scale="none"),
    )
    assert DatasetSpec.from_json(spec.to_json()) == spec
    assert spec.list_columns == ("tags", "words", "viewed", "bought", "title")
    assert list(spec.raw_columns)[:2] == ["item", "price"]
    # Ids and factors of 20 and 5 values; of 20 values and a query, and of 20; 64 numbers; lengths.
    assert count_packed_bytes(spec) == 8 + 4 + 12 * 25 + 16 + 8 * (21 + 21) + 16 + 4 * 64


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "- tags",
            "- {name: tags, pool: max}",
            "line 5: 'tags': pool must be one of mean, sum, sq",
        ),
        ("- tags", "- {name: tags, most: 0}", "line 5: 'tags': most must be 1 or more, not 0"),
        ("- tags", "- {name: tags, size: 3}", "line 5: unknown key 'size' in a bags feature"),
        (
            "- tags",
            "- {name: tags, hash_buckets: 5, min_count: 2}",
            "line 5: 'tags': give min_count or hash_buckets, not both",
        ),
        ('";", weights', '":", weights', "line 6: 'words': the separator cannot hold a colon"),
        ("- tags", "- item", "line 5: column 'item' holds one value in a row for one of its feat"),
        ("attend_to: item, ", "", "line 8: 'viewed': give attend_to, a categorical feature, or la"),
        ("attend_to: item", "attend_to: price", "line 8: 'viewed': attend_to must name a categori"),
        ("attend_to: item", "attend_to: tags", "line 8: 'viewed': attend_to must name a categori"),
        ("last: 3", "last: 30", r"line 9: 'bought': last must be from 1 to 20 \(most\), not 30"),
        ("size: 64, ", "", "line 11: a vectors feature needs size"),
        (
            "size: 64",
            "size: 1",
            "line 11: 'title': size must be 2 or more, not 1; list it under num",
        ),
        ("scale: none", "scale: log", "line 11: 'title': scale must be one of standard, none"),
        ("- tags", "- {name: bought, separator: ;}", "'bought' has another separator, or weights"),
    ],
)
def test_problems_are_named_by_line(old, new, message):
    assert old in TEXT
    with pytest.raises(InputError, match=message):
        parse(TEXT.replace(old, new), "shop.yaml")


def test_a_shape_without_sizes_is_stored_as_before():
    plain = {"kind": "categorical", "columns": 5, "rows": 100}
    assert to_plain(InputShape(**plain)) == plain
    assert from_plain(InputShape, plain) == InputShape(**plain)
    sizes = InputShape("sequences", 2, 9, (0, 3))
    assert to_plain(sizes) == {"kind": "sequences", "columns": 2, "rows": 9, "sizes": [0, 3]}
    assert from_plain(InputShape, to_plain(sizes)) == sizes


def test_widths():
    plain, bags = InputShape("numeric", 2), InputShape("bags", 3, 50)
    sequences = InputShape("sequences", 2, 50, (0, 3))
    assert input_width([plain, bags, sequences], 4) == 2 + 3 * 4 + (1 + 3) * 4
    assert has_fixed_shapes([plain, InputShape("vectors", 64)])
    assert not has_fixed_shapes([plain, bags])


def test_a_list_where_one_value_was_promised():
    spec = parse(TEXT, "shop.yaml")
    values = np.fromiter(["a", ["b", "c"]], object, 2)
    block = Block({"item": values, "price": values}, "f.parquet", np.array([1, 2]), "row")
    for read in (spec.raw_columns["item"].read, spec.raw_columns["item"].read_request):
        with pytest.raises(InputError, match=r"f.parquet, row 2, column 'item': \['b', 'c'\] is"):
            read(spec, block)
    with pytest.raises(InputError, match="column 'price': 'a' is not a finite number"):
        spec.raw_columns["price"].read(spec, block)


def test_a_vector_that_does_not_fit_is_named():
    vector = Vector("v", 2, separator=",")

    def read(*values):
        column = np.fromiter(values, object, len(values))
        return vector.read_vectors(Block({"v": column}, "f.csv", np.arange(len(values)) + 2))

    rows = read("1,2", [3, "4.5"], np.array([5, 6]), "[7, 8]")
    assert rows.tolist() == [[1, 2], [3, 4.5], [5, 6], [7, 8]]
    for value, message in (
        ("1", "a vector of 1 numbers, not 2"),
        ("", "a vector of 0 numbers, not 2"),
        ([], "a vector of 0 numbers, not 2"),
        (None, "a vector of 0 numbers, not 2"),
        ("1,2,3", "a vector of 3 numbers, not 2"),
        ("1,x", "1 x are not finite numbers"),
        ([1.0, float("nan")], "1.0 nan are not finite numbers"),
        ("1,1e99", "1 1e99 are not finite numbers"),
    ):
        with pytest.raises(InputError, match=f"f.csv, line 3, column 'v': {message}"):
            read("1,2", value)
