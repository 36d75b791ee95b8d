import hashlib
from dataclasses import fields, replace
from pathlib import Path

import pytest

ROWS = 3000


def hash_files(directory):
    """Digests of all files below a directory, by their path in it."""
    directory = Path(directory)
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def make_small_pipelines(root, **changes):
    """Both pipelines on a few synthetic rows, with trainings of two epochs; see `change_fields`."""
    from components.example_gen.source import SourceConfig
    from pipelines.config import PipelineConfig
    from pipelines.local_pipelines import LocalPipelines

    config = PipelineConfig(
        root=str(root),
        serving_dir=f"{root}/saved_models/mptrec",
        source=SourceConfig(dataset="synthetic", options={"rows": ROWS}),
    )
    return change_fields(LocalPipelines(config, {"epochs": 2}, "prompt"), **changes)


def change_fields(pipelines, **changes):
    """The same pipelines with other fields: of their own, of what both need, or of thresholds."""
    config = pipelines.config

    def take(kind):
        return {f.name: changes.pop(f.name) for f in fields(kind) if f.name in changes}

    own = take(pipelines)
    config = replace(config, thresholds=replace(config.thresholds, **take(config.thresholds)))
    config = replace(config, **take(config))
    assert not changes
    return replace(pipelines, config=config, **own)


@pytest.fixture(scope="session")
def rows():
    """How many training rows the small pipelines have."""
    return ROWS


@pytest.fixture(scope="session")
def make_pipelines():
    """A function that returns both pipelines on a root."""
    return make_small_pipelines


@pytest.fixture(scope="session")
def change():
    """A function that returns the same pipelines with other fields."""
    return change_fields


@pytest.fixture
def production(three_runs):
    """The serving directory; a test that uses it must leave it unchanged."""
    before = hash_files(three_runs.config.serving_dir)
    yield three_runs.config.serving_dir
    assert hash_files(three_runs.config.serving_dir) == before


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory):
    """Pre-trained on click and like, then share added, then purchase: three pushed versions.

    `results` are those of the three runs. Tests must not change the served versions: `production`.
    """
    runs = make_small_pipelines(tmp_path_factory.mktemp("pipelines") / "root")
    runs.results = [
        runs.pretrain(("click", "like")),
        runs.add_task("share"),
        runs.add_task("purchase"),
    ]
    return runs
