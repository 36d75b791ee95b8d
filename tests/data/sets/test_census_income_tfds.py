import io
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mptrec_tf.data.sets import tfds_builders
from mptrec_tf.data.sets.census_income import rows as census_income
from mptrec_tf.data.sets.census_income.spec import ORIGIN
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError


@pytest.fixture
def uci_zip(small_census, tmp_path):
    """What UCI serves: a zip that holds a tar of the original files."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        for path in small_census.iterdir():
            tar.add(path, path.name)
    path = tmp_path / "census_income_kdd.zip"
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("census.tar.gz", inner.getvalue())
    return path


def serve(monkeypatch, response):
    """Serves downloads without a network."""
    urls = []

    def download(self, url):
        urls.append(url)
        if isinstance(response, Exception):
            raise response
        return response

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    return urls


def test_the_builder_reads_the_same_rows(small_census, tmp_path):
    builder = tfds_builders.CensusIncome(original_files=str(small_census), data_dir=str(tmp_path))
    builder.download_and_prepare()
    assert {s: builder.info.splits[s].num_examples for s in SPLITS} == {
        "train": 2000,
        "validation": 1000,
        "test": 1000,
    }
    source = census_income.CensusIncome(str(small_census))
    for split in SPLITS:
        [batch] = tfds.as_numpy(builder.as_dataset(split=split, batch_size=4000))
        assert list(batch) == sorted(census_income.COLUMNS)
        block = np.concatenate([b.numbers("instance_weight") for b in read_split(source, split)])
        np.testing.assert_array_equal(np.sort(batch["instance_weight"]), np.sort(block))
        text = np.concatenate([b.text("education") for b in read_split(source, split)])
        assert sorted(v.decode() for v in batch["education"]) == sorted(text)


def test_the_builder_downloads(uci_zip, tmp_path, monkeypatch):
    urls = serve(monkeypatch, uci_zip)
    builder = tfds_builders.CensusIncome(data_dir=str(tmp_path / "tfds"))
    builder.download_and_prepare()
    assert builder.info.splits["train"].num_examples == 2000
    assert urls == [ORIGIN.archive]


def test_the_reader_downloads(uci_zip, tmp_path, monkeypatch):
    serve(monkeypatch, uci_zip)
    monkeypatch.setenv("HOME", str(tmp_path))
    source = census_income.CensusIncome()
    assert sum(map(len, read_split(source, "train"))) == 2000


def test_no_network(tmp_path, monkeypatch):
    serve(monkeypatch, ConnectionError("no route"))
    monkeypatch.setenv("HOME", str(tmp_path))
    message = (
        r"cannot download Census-Income \(KDD\) from https://archive.ics.uci.edu/.*.zip "
        r"\(ConnectionError\); download it elsewhere and give its directory by --data_dir"
    )
    with pytest.raises(InputError, match=message):
        census_income.CensusIncome()


def test_a_missing_network_is_detected_before_the_download(tmp_path, monkeypatch):
    def reject(*_, **__):
        raise OSError("no route")

    urls = serve(monkeypatch, None)
    monkeypatch.setattr("urllib.request.urlopen", reject)
    monkeypatch.setenv("HOME", str(tmp_path))
    # A leftover of an earlier attempt without a network.
    cache = tmp_path / "tensorflow_datasets" / "downloads" / "census_income"
    (cache / "uci.zip.tmp.0").mkdir(parents=True)
    with pytest.raises(InputError, match=r"\(OSError\); download it elsewhere"):
        census_income.CensusIncome()
    assert not urls


def test_another_archive(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "moved")
    serve(monkeypatch, tmp_path / "other.zip")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"kdd.zip holds no census-income.data file"):
        census_income.CensusIncome()
