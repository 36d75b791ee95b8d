import hashlib
import json
import multiprocessing
import signal
import time
from dataclasses import fields, replace
from pathlib import Path

import forked_program
import pytest

ROWS = 1200
TASKS = ("click", "like", "share", "purchase")
# `make_small_pipelines` in flags.
ADD_PURCHASE = (
    *("--run=add_task", "--dataset=synthetic", f"--rows={ROWS}", "--tasks=click,like,share"),
    *("--new_task=purchase", "--head=prompt", "--epochs=2"),
)
# Epochs enough that a run can be killed among them.
PRETRAINING = {"epochs": 30, "patience": 30}
_FORKS = multiprocessing.get_context("forkserver")
_DEADLINE = 600  # seconds


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
        source=SourceConfig(dataset="synthetic", tasks=TASKS, options={"rows": ROWS}),
    )
    return change_fields(LocalPipelines(config, {"epochs": 2, "seed": 1}, "prompt"), **changes)


def change_fields(pipelines, **changes):
    """The same pipelines with other fields: of their own, of both, of thresholds or of the gate."""
    config = pipelines.config

    def take(kind):
        return {f.name: changes.pop(f.name) for f in fields(kind) if f.name in changes}

    own = take(pipelines)
    thresholds = replace(config.thresholds, **take(config.thresholds))
    thresholds = replace(thresholds, gate=replace(thresholds.gate, **take(thresholds.gate)))
    config = replace(config, thresholds=thresholds)
    config = replace(config, **take(config))
    assert not changes
    return replace(pipelines, config=config, **own)


def read_states(pipelines, name):
    """Returns the state of each component in a pipeline's last run."""
    from pipelines.metadata import Metadata

    last = Metadata(pipelines.config.metadata_path).read_last_run(name)
    return {e.node: e.state for e in last.values()}


def run_until_killed(pipelines, output):
    """Runs the pre-training in a process that is killed; returns how many epochs were done."""
    process = _FORKS.Process(
        target=forked_program.pretrain, args=(pipelines, ("click", "like"), str(output))
    )
    process.start()
    end = time.monotonic() + _DEADLINE
    while not (states := list(Path(pipelines.config.root).glob("unfinished/*/state.json"))):
        assert process.is_alive(), output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.05)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return len(json.loads(states[0].read_text())["history"])


@pytest.fixture(scope="session")
def read_last_states():
    return read_states


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


@pytest.fixture(scope="module", autouse=True)
def _xla(without_xla):
    with without_xla():
        yield


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory, run_program, without_xla):
    """Pre-trained on click and like, then share added, then purchase: three pushed versions.

    The last one by the program, whose output is `program`.

    The first run is killed in its training, and continues. `results` are those of the three runs,
    `killed` are the states of the first one's components after it was killed and at its end, the
    epochs in between, and what is left of its unfinished training then; `pretraining` is how it
    trained. Tests must not change the served versions: `production`.
    """
    from pipelines.config import ADD_TASK, PRETRAIN
    from pipelines.metadata import Metadata
    from pipelines.results import RunResults

    root = tmp_path_factory.mktemp("pipelines") / "root"
    first = make_small_pipelines(root, training=PRETRAINING)
    epochs = run_until_killed(first, root.parent / "output")
    killed = read_states(first, PRETRAIN)
    runs = make_small_pipelines(root)
    with without_xla():
        runs.results = [first.pretrain(("click", "like"))]
        left = list(Path(root, "unfinished").iterdir())
        continued = read_states(first, PRETRAIN)
        runs.results.append(runs.add_task("share"))
    runs.program = run_program("pipelines.local", *ADD_PURCHASE, f"--root={root}").stdout
    metadata = Metadata(runs.config.metadata_path)
    runs.results.append(RunResults(metadata, metadata.read_last_run(ADD_TASK)))
    runs.pretraining, runs.killed = PRETRAINING, (killed, continued, epochs, left)
    return runs
