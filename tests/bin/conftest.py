import csv

import pytest


@pytest.fixture(scope="session")
def run_rejected(run_program):
    """Runs a program that must reject its input; returns its error message."""

    def run_rejected(name, *flags):
        done = run_program(name, *flags, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        messages = [line for line in done.stderr.splitlines() if ": error: " in line]
        assert len(messages) == 1, done.stderr
        return messages[0]

    return run_rejected


class ProgramRuns:
    """Runs all programs, from data to predictions."""

    def __init__(self, program, folder, dataset_flags, tasks, heads, raw_rows):
        self.folder, self.dataset_flags = folder, dataset_flags
        (self.old, self.new), self.heads = tasks, heads
        self.data, self.backbone = folder / "data", folder / "backbone"
        self.model = folder / "saved_models" / "mptrec"
        self.packages = {task: folder / "tasks" / task for task in self.new}
        self.rows = folder / "rows.csv"
        self.output = {}
        self._run_all(program, raw_rows)

    def _run_all(self, program, raw_rows):
        tasks = ",".join((*self.old, *self.new))
        self.output["prepare"] = program(
            "prepare", *self.dataset_flags, f"--tasks={tasks}", f"--output_dir={self.data}"
        )
        short = ("--epochs=2", "--seed=1", f"--data={self.data}")
        self.output["pretrain"] = program(
            "pretrain", *short, f"--tasks={','.join(self.old)}", f"--output_dir={self.backbone}"
        )
        for (task, package), head in zip(self.packages.items(), self.heads, strict=True):
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


@pytest.fixture(scope="session")
def synthetic_runs(run_program, tmp_path_factory):
    """All programs, run on synthetic rows."""
    from mptrec_tf.data.sets.synthetic.rows import Synthetic

    flags = ("--dataset=synthetic", "--rows=3000")
    tasks = (("click", "like"), ("share", "purchase"))
    rows = first_test_rows(Synthetic())
    folder = tmp_path_factory.mktemp("synthetic_runs")
    return ProgramRuns(run_program, folder, flags, tasks, ("auto", "residual"), rows)


@pytest.fixture(scope="session")
def census_runs(run_program, small_census, tmp_path_factory):
    """All programs, run on 2,000 real rows, if they are available."""
    from mptrec_tf.data.sets.census_income.rows import CensusIncome

    flags = ("--dataset=census_income", f"--data_dir={small_census}")
    tasks = (("income", "marital"), ("education", "tax_filer_stat"))
    rows = first_test_rows(CensusIncome(str(small_census), (*tasks[0], *tasks[1])))
    folder = tmp_path_factory.mktemp("census_runs")
    return ProgramRuns(run_program, folder, flags, tasks, ("lora", "residual"), rows)


@pytest.fixture(scope="session", params=["synthetic", "census"])
def runs(request):
    """Both of them, one after the other."""
    return request.getfixturevalue(f"{request.param}_runs")
