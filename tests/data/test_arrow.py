import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders import example_coder

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


def test_bytes_are_those_of_a_deterministic_message():
    """With lists of all lengths, so that lengths take one, two and three bytes."""
    random = np.random.default_rng(1)

    def make(values, kind):
        lists = [None if n % 7 == 6 else values(int(n**2.2)) for n in range(70)]
        return pa.array(lists, pa.large_list(kind))

    columns = {
        "\u00e9": make(lambda n: random.integers(-(2**62), 2**62, n // 9).tolist(), pa.int64()),
        "z": make(lambda n: [*random.normal(size=n), np.nan][:n], pa.float32()),
        "a b": make(lambda n: [random.bytes(n % 300) for _ in range(n % 4)], pa.large_binary()),
        "Z": make(lambda n: [0] * (n % 2), pa.int64()),
    }
    for names in (list(columns), ["Z"], ["z", "a b"]):
        batch = pa.RecordBatch.from_arrays([columns[name] for name in names], names)
        messages = example_coder.RecordBatchToExamplesEncoder().encode(batch)
        assert serialize_rows(batch) == [
            tf.train.Example.FromString(m).SerializeToString(deterministic=True) for m in messages
        ]
    assert max(map(len, serialize_rows(batch))) > 2**14
