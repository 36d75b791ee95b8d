"""How columns of a schema reach the preprocessing graph."""

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from components.preprocessing import preprocessing_fn
from mptrec_tf.data.features.ages import Age
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


def test_what_needs_the_rows_twice_is_fitted_as_tfx_does(tmp_path):
    """The scale of an age needs the newest time first; TFX copies the steps that read rows."""
    spec = DatasetSpec("shop", (Age("sent", scale="standard"),), SPEC.tasks)
    columns = {"sent": tf.io.FixedLenFeature([1], tf.string)}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(columns))
    rows = [{"sent": [day]} for day in ("2024-05-01", "2024-05-03", "2024-05-05")]
    context = tft_beam.Context(temp_dir=str(tmp_path), use_deep_copy_optimization=True)
    with beam.Pipeline() as pipeline, context:
        data = pipeline | beam.Create(rows), metadata

        def pack(inputs):
            return preprocessing_fn(inputs, {"spec": spec.to_json()})

        (packed, _), _ = data | tft_beam.AnalyzeAndTransformDataset(pack)
        (
            packed
            | beam.Map(lambda row: f"{row['ages'][0]:.4f}")
            | beam.io.WriteToText(f"{tmp_path}/ages", shard_name_template="")
        )
    # 4, 2 and 0 days before the newest: mean 2, deviation sqrt(8 / 3).
    assert sorted((tmp_path / "ages").read_text().split()) == ["-1.2247", "0.0000", "1.2247"]
