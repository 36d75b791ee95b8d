import numpy as np
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.arrow import make_lists, serialize_rows


def test_equal_rows_have_equal_bytes():
    """The encoder orders the features of each row at random; 40 rows would not agree by chance."""
    names = ["color", "price", "label/buy", "label/stay", "truth", "importance"]
    columns = [make_lists(pa.array(np.full(20, i, np.float32))) for i in range(len(names))]
    batch = pa.RecordBatch.from_arrays(columns, names)
    [row] = {*serialize_rows(batch), *serialize_rows(batch)}
    features = tf.train.Example.FromString(row).features.feature
    assert {name: list(features[name].float_list.value) for name in features} == {
        name: [float(i)] for i, name in enumerate(names)
    }
