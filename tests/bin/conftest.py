import csv
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Of the two tasks that are added.
HEADS = ("auto", "residual")


# `tests` may well be another package's name where processes look for modules.
sys.path.insert(0, str(Path(__file__).parent))
import forked_program  # noqa: E402

# Programs take five seconds to import these. Processes are forked from one that has them.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["mptrec_tf.bin.results", "mptrec_tf.export.serving_model"])


def program(name, *flags, check=True):
    """Runs a program as a user would, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/stdout", f"{folder}/stderr"]
        process = _FORKS.Process(target=forked_program.main, args=(name, flags, ROOT, *files))
        process.start()
        process.join()
        written = [Path(file).read_text() for file in files]
    done = subprocess.CompletedProcess([name, *flags], process.exitcode, *written)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def rejected(name, *flags):
    """Runs a program that must reject its input; returns its error message."""
    done = program(name, *flags, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    messages = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(messages) == 1, done.stderr
    return messages[0]


@pytest.fixture(scope="session")
def run_program():
    return program


@pytest.fixture(scope="session")
def run_rejected():
    return rejected


class ProgramRuns:
    """Runs all programs, from data to predictions."""

    def __init__(self, folder, dataset_flags, old, new, raw_rows):
        self.folder, self.dataset_flags = folder, dataset_flags
        self.old, self.new = old, new
        self.data, self.backbone = folder / "data", folder / "backbone"
        self.model = folder / "saved_models" / "mptrec"
        self.packages = {task: folder / "tasks" / task for task in new}
        self.rows = folder / "rows.csv"
        self.output = {}
        self._run_all(raw_rows)

    def _run_all(self, raw_rows):
        tasks = ",".join((*self.old, *self.new))
        self.output["prepare"] = program(
            "prepare", *self.dataset_flags, f"--tasks={tasks}", f"--output_dir={self.data}"
        )
        short = ("--epochs=2", "--seed=1", f"--data={self.data}")
        self.output["pretrain"] = program(
            "pretrain", *short, f"--tasks={','.join(self.old)}", f"--output_dir={self.backbone}"
        )
        for (task, package), head in zip(self.packages.items(), HEADS, strict=True):
            self.output[task] = program(
                "add_task",
                *short,
                f"--head={head}",
                f"--backbone={self.backbone}",
                f"--task={task}",
                f"--output_dir={package}",
            )
        first, second = self.packages.values()
        # Two more tasks are added, and one is removed again.
        for version, flags in enumerate(
            (
                [f"--backbone={self.backbone}"],
                [f"--backbone={self.backbone}", f"--tasks={first}"],
                [f"--add={second}"],
                [f"--remove={self.new[0]}"],
            ),
            1,
        ):
            self.output[f"export {version}"] = program(
                "export", *flags, f"--output_dir={self.model}"
            )
        with open(self.rows, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(raw_rows)
            writer.writerows(zip(*raw_rows.values(), strict=True))
        self.output["predict"] = program(
            "predict",
            f"--model={self.model / '3'}",
            f"--input={self.rows}",
            f"--output={self.folder / 'predictions.csv'}",
        )
        self.output["compare"] = program(
            "compare",
            f"--a={self.model / '3'}",
            f"--b={self.model}",
            f"--input={self.rows}",
            "--require_identical=all",
            f"--output={self.folder / 'compared.json'}",
        )
        self.output["evaluate"] = program(
            "evaluate",
            f"--model={self.model / '3'}",
            *self.dataset_flags,
            f"--output={self.folder / 'metrics.json'}",
        )


def first_test_rows(source, count=300):
    from mptrec_tf.data.sources.block import read_split

    block = next(read_split(source, "test"))
    return {name: column[:count] for name, column in block.columns.items()}


@pytest.fixture(scope="session", params=["synthetic", "census_income"])
def runs(request, tmp_path_factory):
    """All programs, run on synthetic rows (always) and on 2,000 real ones (if available)."""
    folder = tmp_path_factory.mktemp(f"runs_{request.param}")
    if request.param == "synthetic":
        from mptrec_tf.data.sources.synthetic import Synthetic

        flags = ("--dataset=synthetic", "--rows=3000")
        rows = first_test_rows(Synthetic())
        return ProgramRuns(folder, flags, ("click", "like"), ("share", "purchase"), rows)
    from mptrec_tf.data.sources.census_income import CensusIncome

    small_census = request.getfixturevalue("small_census")
    flags = ("--dataset=census_income", f"--data_dir={small_census}")
    new = ("education", "tax_filer_stat")
    rows = first_test_rows(CensusIncome(str(small_census), ("income", "marital", *new)))
    return ProgramRuns(folder, flags, ("income", "marital"), new, rows)
