"""Example generation of data sets whose rows are joined first."""

import os

from components.example_gen.component import RawExampleGen
from components.example_gen.source import SourceConfig
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.data.sets.registry import DATASETS


def test_rows_are_joined_in_the_pipeline(tmp_path, run_executor):
    directory = tmp_path / "ali_ccp"
    directory.mkdir()
    DATASETS.get("ali_ccp").write_sample(str(directory), 3000, 1, lambda rows: None)
    source = SourceConfig(dataset="ali_ccp", options={"data_dir": str(directory)})
    base, patterns = source.patterns()
    assert (base, patterns["test"]) == (str(directory), "*_test.csv*")

    def generate(name):
        return run_executor(RawExampleGen(source), tmp_path / name)["examples"]

    examples = generate("first")
    described = read_description(examples.uri)
    assert sum(of["rows"] for of in described["splits"].values()) >= 2990
    assert not os.path.exists(f"{examples.uri}/joined")
    again = generate("second")
    assert examples.get_string_custom_property("rows_fingerprint") == (
        again.get_string_custom_property("rows_fingerprint")
    )
