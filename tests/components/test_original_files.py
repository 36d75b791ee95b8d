"""Example generation from the original files of data sets that are split and joined as read."""

import pytest

from components.example_gen.component import RawExampleGen
from components.example_gen.source import SourceConfig
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.data.sets.registry import DATASETS


@pytest.mark.parametrize("name", ["kuairand", "movielens"])
def test_they_are_fingerprinted_and_read(tmp_path, run_executor, name):
    directory = tmp_path / "files"
    directory.mkdir()
    DATASETS.get(name).write_sample(str(directory), 600, 1, lambda rows: None)
    source = SourceConfig(dataset=name, options={"data_dir": str(directory)})
    base, patterns = source.patterns()
    assert base == str(directory)
    read = {path.name for pattern in patterns.values() for path in directory.glob(pattern)}
    assert read == {path.name for path in directory.iterdir()}
    examples = run_executor(RawExampleGen(source), tmp_path / "out")["examples"]
    described = read_description(examples.uri)
    rows = {split: of["rows"] for split, of in described["splits"].items()}
    assert sum(rows.values()) == {"kuairand": 329, "movielens": 600}[name]
