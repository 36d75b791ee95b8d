import hashlib
import re
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


def small_way(root, **changes):
    """Both pipelines on a few synthetic rows, with trainings of two epochs."""
    from components.example_gen.source import SourceConfig
    from pipelines.whole_way import WholeWay

    fields = {
        "root": str(root),
        "serving_dir": f"{root}/saved_models/mptrec",
        "source": SourceConfig(dataset="synthetic", options={"rows": ROWS}),
        "training": {"epochs": 2},
        "head": "prompt",
    }
    return WholeWay(**fields | changes)


@pytest.fixture
def without_tensorflows():
    """Function that takes out of what a program said what TensorFlow 2.21 says as it is imported.

    No setting keeps these lines back.
    """

    def take_out(said):
        lines = said.splitlines(keepends=True)
        theirs = re.compile(r"WARNING: All log messages before absl|I0000 \d\d:\d\d:")
        return "".join(line for line in lines if not theirs.match(line))

    return take_out


@pytest.fixture(scope="session")
def rows():
    """How many training rows the small ways have."""
    return ROWS


@pytest.fixture(scope="session")
def make_way():
    """A function that returns both pipelines on a root."""
    return small_way


@pytest.fixture
def production(gone_way):
    """What is served; a test that asks for it must leave it as it was."""
    before = contents(gone_way.serving_dir)
    yield gone_way.serving_dir
    assert contents(gone_way.serving_dir) == before


@pytest.fixture(scope="session")
def gone_way(tmp_path_factory):
    """Pre-trained on click and like, then share added, then purchase: three pushed versions.

    `results` are those of the three runs. Tests must leave what is served as it is: `production`.
    """
    way = small_way(tmp_path_factory.mktemp("pipelines") / "root")
    way.results = [way.pretrain(("click", "like")), way.add_task("share"), way.add_task("purchase")]
    return way
