"""The table of a vocabulary's lines: by feature and value, saved and loaded with its file."""

import shutil

import pytest
import tensorflow as tf

from mptrec_tf.data.transform.vocabulary_file import Lines

# Two features share the value "7"; a value may hold a tab, or be longer than others.
FILE = b"age\t7\nage\t\ncity\t7\ncity\tBern\ncity\ta\tb\ncity\t\xc3\xbc\ncity\t\nempty\t\n"
KNOWN = [
    (0, b"7", 0),
    (0, b"", 1),
    (1, b"7", 2),
    (1, b"Bern", 3),
    (1, b"a\tb", 4),
    (1, b"\xc3\xbc", 5),
    (1, b"", 6),
    (2, b"", 7),
]
UNKNOWN = [(0, b"Bern"), (2, b"7"), (1, b"bern"), (3, b""), (1, b"b"), (0, b"age\t7")]


class Model(tf.Module):
    def __init__(self, file):
        super().__init__()
        self.lines = Lines(file)
        self.table = self.lines._table

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.string)]
    )
    def look_up(self, feature_of, values):
        return self.lines.look_up(feature_of, values)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vocabulary"
    path.write_bytes(FILE)
    return str(path)


def check(look_up):
    features, values, lines = zip(*KNOWN, strict=True)
    assert look_up(tf.constant(features), tf.constant(values)).numpy().tolist() == list(lines)
    features, values = zip(*UNKNOWN, strict=True)
    assert (look_up(tf.constant(features), tf.constant(values)).numpy() == -1).all()


def test_lines_by_feature_and_value(file):
    lines = Lines(file)
    check(lines.look_up)
    assert lines.size().numpy() == 8


def test_a_saved_table_reads_its_own_file(file, tmp_path):
    model = Model(file)
    tf.saved_model.save(model, f"{tmp_path}/saved")
    (tmp_path / "vocabulary").unlink()
    shutil.move(tmp_path / "saved", tmp_path / "moved")
    check(tf.saved_model.load(f"{tmp_path}/moved").look_up)
