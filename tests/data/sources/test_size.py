import gzip
import lzma

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from mptrec_tf.data.sets.census_income.rows import CensusIncome
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sources.tabular import estimate_file_rows


@pytest.mark.parametrize("count", [0, 1, 1000, 200_000])
def test_lines_of_csv(tmp_path, count):
    text = "".join(f"{i % 1000:04d},value\n" for i in range(count)).encode()
    (tmp_path / "a.csv").write_bytes(text)
    assert estimate_file_rows(str(tmp_path / "a.csv")) == pytest.approx(count, rel=0.01)
    for compress in (gzip.compress, lzma.compress, compress_zstd):
        (tmp_path / "b.csv").write_bytes(compress(text))
        assert estimate_file_rows(str(tmp_path / "b.csv")) == pytest.approx(count, rel=0.01)


def compress_zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_records_of_tfrecord(tmp_path, compression):
    path = str(tmp_path / ("a.tfrecord.gz" if compression else "a.tfrecord"))
    random = np.random.default_rng(0)
    with tf.io.TFRecordWriter(path, compression) as writer:
        for _ in range(5000):
            writer.write(random.bytes(int(random.integers(200, 600))))
    assert estimate_file_rows(path) == pytest.approx(5000, rel=0.05)


def test_what_cannot_be_read_has_no_estimate(tmp_path):
    assert estimate_file_rows(str(tmp_path / "none.csv")) == 0
    (tmp_path / "bad.csv.gz").write_bytes(b"no gzip")
    assert estimate_file_rows(str(tmp_path / "bad.csv.gz")) == 0


def test_sources_estimate_their_splits(small_census):
    census = CensusIncome(str(small_census))
    assert census.estimated_rows("train") == pytest.approx(2000, rel=0.05)
    assert census.estimated_rows("test") == pytest.approx(1000, rel=0.05)
    assert Synthetic({"train": 70}).estimated_rows("train") == 70
