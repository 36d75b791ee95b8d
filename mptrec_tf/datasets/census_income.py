"""Census-Income (KDD), UCI 117: the data set of the paper, read in its original format.

White, R. (2000), UCI Machine Learning Repository, licensed CC BY 4.0.
"""

from collections.abc import Iterator, Sequence

import tensorflow as tf

from mptrec_tf.data_format import TextFormat
from mptrec_tf.datasets.block import Block
from mptrec_tf.datasets.csv_rows import read_csv
from mptrec_tf.datasets.size import estimate_rows
from mptrec_tf.errors import InputError
from mptrec_tf.spec import Categorical, DatasetSpec, Numeric, Task

COLUMNS = (
    "age class_worker det_ind_code det_occ_code education wage_per_hour hs_college marital_stat "
    "major_ind_code major_occ_code race hisp_origin sex union_member unemp_reason "
    "full_or_part_emp capital_gains capital_losses stock_dividends tax_filer_stat "
    "region_prev_res state_prev_res det_hh_fam_stat det_hh_summ instance_weight mig_chg_msa "
    "mig_chg_reg mig_move_reg mig_same mig_prev_sunbelt num_emp fam_under_18 country_father "
    "country_mother country_self citizenship own_or_self vet_question vet_benefits weeks_worked "
    "year income_50k"
).split()
NUMERIC = (
    "age wage_per_hour capital_gains capital_losses stock_dividends instance_weight num_emp "
    "own_or_self vet_benefits weeks_worked year"
).split()
TASKS = {
    task.name: task
    for task in (
        Task("income", "income_50k", positive=("50000+.",), negative=("- 50000.",)),
        Task("marital", "marital_stat", positive=("Never married",)),
        Task("education", "education", positive=("Bachelors degree(BA AB BS)",)),
        Task("weeks_worked", "weeks_worked", positive=("52",)),
        Task("tax_filer_stat", "tax_filer_stat", positive=("Joint both under 65",)),
        Task("capital_gains", "capital_gains", above=0.0),
    )
}
DEFAULT_TASKS = ("income", "marital", "education")
_FILES = {"train": "census-income.data", "test": "census-income.test"}


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec whose features are all columns but the ones that label `tasks`.

    By default these are the paper's: two tasks to pre-train on, income over 50K and never
    married, and a new one, education.

    Raises:
      InputError: for a task that this data set does not have.
    """
    for name in tasks:
        if name not in TASKS:
            raise InputError(
                f"unknown task {name!r}: data set 'census_income' has {', '.join(TASKS)}."
            )
    # The income column is an answer, not a feature, whether or not a task asks for it.
    labels = {"income_50k", *(TASKS[name].label for name in tasks)}
    features = [c for c in COLUMNS if c not in labels]
    return DatasetSpec(
        name="census_income",
        categorical=tuple(Categorical(c) for c in features if c not in NUMERIC),
        numeric=tuple(Numeric(c) for c in features if c in NUMERIC),
        tasks=tuple(TASKS[name] for name in tasks),
    )


def find_file(data_dir: str, name: str) -> str:
    """Returns the path of an original file, plain or .gz, in `data_dir`.

    Raises:
      InputError: if it is not there.
    """
    for candidate in (name, f"{name}.gz"):
        path = f"{data_dir.rstrip('/')}/{candidate}"
        try:
            if tf.io.gfile.exists(path):
                return path
        except tf.errors.OpError as error:
            raise InputError(f"cannot look into {data_dir}: {error.message}.") from error
    raise InputError(
        f"{data_dir} holds neither {name} nor {name}.gz; "
        "give the directory of the original Census-Income files."
    )


def read_original(path: str) -> Iterator[Block]:
    """Yields the rows of an original file: no header, 42 columns.

    Raises:
      InputError: for a row with another number of columns, with file and line.
    """
    return read_csv(path, TextFormat(header=COLUMNS))


class CensusIncome:
    """Rows of the original files; the test file is halved into validation and test (the paper's).

    Args:
      data_dir: Directory of the original files, plain or .gz. By default they are downloaded
        from UCI, which needs a network.
      tasks: Names of the tasks, those to pre-train on and those to come.

    Raises:
      InputError: if the files are not there, or cannot be downloaded.
    """

    def __init__(self, data_dir: str | None = None, tasks: Sequence[str] = DEFAULT_TASKS):
        self.spec = make_spec(tasks)
        if not data_dir:
            from mptrec_tf.datasets.uci import download  # TFDS is slow to import

            data_dir = download()
        self._files = {split: find_file(data_dir, name) for split, name in _FILES.items()}
        self._half: int | None = None

    def shards(self, split: str) -> Sequence[tuple[str, int | None, int | None]]:
        """Returns one shard: a file, and the first and the last of its rows (end excluded)."""
        if split == "train":
            return [(self._files["train"], None, None)]
        if self._half is None:
            self._half = sum(map(len, read_original(self._files["test"]))) // 2
        bounds = {"validation": (None, self._half), "test": (self._half, None)}
        return [(self._files["test"], *bounds[split])] if split in bounds else []

    def read(self, shard: tuple[str, int | None, int | None]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        path, start, stop = shard
        return _rows_between(read_original(path), start or 0, stop)

    def estimated_rows(self, split: str) -> int:
        """Returns about how many rows a split has."""
        if split == "train":
            return estimate_rows(self._files["train"])
        return estimate_rows(self._files["test"]) // 2


def _rows_between(blocks: Iterator[Block], start: int, stop: int | None) -> Iterator[Block]:
    first = 0
    for block in blocks:
        rows = slice(max(start - first, 0), None if stop is None else max(stop - first, 0))
        first += len(block)
        part = Block(
            {name: column[rows] for name, column in block.columns.items()},
            block.source,
            block.lines[rows],
        )
        if len(part):
            yield part
        if stop is not None and first >= stop:
            return
