"""How columns of a schema reach the preprocessing graph."""

import numpy as np
import pytest
import tensorflow as tf

from components.preprocessing import preprocessing_fn
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

SPEC = DatasetSpec(
    "shop",
    (Bag("tags", hash_buckets=9), Vector("place", 2, scale="none")),
    (BinaryTask("buy", "bought", ("yes",)),),
)
CONFIG = {"spec": SPEC.to_json()}
TAGS = tf.ragged.constant([["a", "b"], []]).to_sparse()
PLACE = tf.constant([[1.0, 2.0], [3.0, 4.0]])


def test_several_values_in_a_row():
    packed = preprocessing_fn({"tags": TAGS, "place": PLACE}, CONFIG)
    assert packed["bags_lengths"].numpy().tolist() == [[2], [1]]
    np.testing.assert_array_equal(packed["vectors"], PLACE)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tags": tf.constant([["a", "b"]] * 2)}, "'tags' has 2 values in every row of the schema"),
        ({"place": tf.ones([2, 3])}, "'place' should have 2 values in every row of the schema"),
        ({"place": TAGS}, "'place' should have 2 values in every row of the schema"),
    ],
)
def test_a_schema_with_another_number_of_values(changed, message):
    with pytest.raises(InputError, match=message):
        preprocessing_fn({"tags": TAGS, "place": PLACE} | changed, CONFIG)
