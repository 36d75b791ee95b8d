import hashlib
from dataclasses import fields, replace
from pathlib import Path

import pytest

ROWS = 3000


def contents(directory):
    """Digests of all files below a directory, by their path in it."""
    directory = Path(directory)
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def small_pipelines(root, **changes):
    """Both pipelines on a few synthetic rows, with trainings of two epochs; see `changed`."""
    from components.example_gen.source import SourceConfig
    from pipelines.config import PipelineConfig
    from pipelines.local_pipelines import LocalPipelines

    config = PipelineConfig(
        root=str(root),
        serving_dir=f"{root}/saved_models/mptrec",
        source=SourceConfig(dataset="synthetic", rows=ROWS),
    )
    return changed(LocalPipelines(config, {"epochs": 2}, "prompt"), **changes)


def changed(pipelines, **changes):
    """The same pipelines with other fields: of their own, of what both need, or of thresholds."""
    config = pipelines.config

    def given(kind):
        return {f.name: changes.pop(f.name) for f in fields(kind) if f.name in changes}

    own = given(pipelines)
    config = replace(config, thresholds=replace(config.thresholds, **given(config.thresholds)))
    config = replace(config, **given(config))
    assert not changes
    return replace(pipelines, config=config, **own)


@pytest.fixture(scope="session")
def rows():
    """How many training rows the small ways have."""
    return ROWS


@pytest.fixture(scope="session")
def make_pipelines():
    """A function that returns both pipelines on a root."""
    return small_pipelines


@pytest.fixture(scope="session")
def change():
    """A function that returns the same pipelines with other fields."""
    return changed


@pytest.fixture
def production(three_runs):
    """What is served; a test that asks for it must leave it as it was."""
    before = contents(three_runs.config.serving_dir)
    yield three_runs.config.serving_dir
    assert contents(three_runs.config.serving_dir) == before


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory):
    """Pre-trained on click and like, then share added, then purchase: three pushed versions.

    `results` are those of the three runs. Tests must leave what is served as it is: `production`.
    """
    runs = small_pipelines(tmp_path_factory.mktemp("pipelines") / "root")
    runs.results = [
        runs.pretrain(("click", "like")),
        runs.add_task("share"),
        runs.add_task("purchase"),
    ]
    return runs
