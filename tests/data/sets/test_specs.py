"""The specs in docs are those of the data sets."""

import dataclasses
from pathlib import Path

import pytest

from mptrec_tf.data import spec_yaml
from mptrec_tf.data.sets.registry import DATASETS, make_built_in_spec
from mptrec_tf.data.text_format import TextFormat

SPECS = Path(__file__).parents[3] / "docs" / "specs"
WITH_FILES = [name for name, of in DATASETS.all().items() if of.origin]


def by_section(spec):
    """A spec without the order of its features and the format of its files."""
    spec = dataclasses.replace(spec, text_format=TextFormat())
    return {**spec.to_plain(), **{k: sorted(map(str, v)) for k, v in spec._sections().items()}}


@pytest.mark.parametrize("name", WITH_FILES)
def test_the_spec_in_docs_is_that_of_the_data_set(name):
    spec = spec_yaml.load(str(SPECS / f"{name}.yaml"))
    assert by_section(spec) == by_section(make_built_in_spec(name))


def test_every_spec_in_docs_is_of_a_data_set():
    assert sorted(path.stem for path in SPECS.iterdir()) == sorted(WITH_FILES)


@pytest.mark.parametrize("name", WITH_FILES)
def test_docs_say_where_data_sets_come_from(name):
    text = (SPECS.parent / "data.md").read_text()
    origin = DATASETS.get(name).origin
    section = text.split(f"## {origin.title}")[1].split("\n## ")[0]
    for part in (origin.homepage, origin.licence, f"`--dataset={name}`", f"specs/{name}.yaml"):
        assert part in section
