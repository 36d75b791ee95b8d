"""The spec of Census-Income; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, TEXT
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sets.data_set import DataSet, Files, Option, Origin, check_tasks
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

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
        BinaryTask("income", "income_50k", positive=("50000+.",), negative=("- 50000.",)),
        BinaryTask("marital", "marital_stat", positive=("Never married",)),
        BinaryTask("education", "education", positive=("Bachelors degree(BA AB BS)",)),
        BinaryTask("weeks_worked", "weeks_worked", positive=("52",)),
        BinaryTask("tax_filer_stat", "tax_filer_stat", positive=("Joint both under 65",)),
        BinaryTask("capital_gains", "capital_gains", above=0.0),
        BinaryTask("over_40", "age", above=40.0),
        BinaryTask("private_worker", "class_worker", positive=("Private",)),
        BinaryTask("hourly_wage", "wage_per_hour", above=0.0),
        BinaryTask("in_high_school", "hs_college", positive=("High school",)),
        BinaryTask("black", "race", positive=("Black",)),
        BinaryTask("in_union", "union_member", positive=("Yes",)),
        BinaryTask("capital_loss", "capital_losses", above=0.0),
        BinaryTask("dividends", "stock_dividends", above=0.0),
        BinaryTask("large_employer", "num_emp", positive=("6",)),
        BinaryTask("both_parents", "fam_under_18", positive=("Both parents present",)),
        BinaryTask("no_own_business", "own_or_self", positive=("2",)),
    )
}
ORIGIN = Origin(
    title="Census-Income (KDD)",
    homepage="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
    licence="CC BY 4.0",
    citation="White, R. (2000). Census-Income (KDD). UCI Machine Learning Repository.",
    file="census-income.data",
    archive="https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip",
)
DEFAULT_TASKS = ("income", "marital", "education")


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec whose features are all columns but the labels of `tasks`.

    The default tasks are the paper's: two to pre-train on, income over 50K and never married, and
    a new one, education.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks("census_income", tasks, list(TASKS))
    # The income column is a label, not a feature, even if no task needs it.
    labels = {"income_50k", *(TASKS[name].label for name in tasks)}
    features = [c for c in COLUMNS if c not in labels]
    return DatasetSpec(
        name="census_income",
        features=tuple(Numeric(c) if c in NUMERIC else Categorical(c) for c in features),
        tasks=tuple(TASKS[name] for name in tasks),
    )


def _open(tasks: Sequence[str], data_dir: str | None = None) -> "Source":
    from mptrec_tf.data.sets.census_income.rows import CensusIncome

    return CensusIncome(data_dir, tasks)


def _files(options: Mapping[str, Any]) -> Files | None:
    if not options.get("data_dir"):
        return None
    test = "census-income.test*"
    return options["data_dir"], {
        "train": "census-income.data*",
        "validation": test,
        "test": test,
    }


CENSUS_INCOME = DataSet(
    "census_income",
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="education",
    options={
        "data_dir": Option(
            str,
            "directory of the original files; without it they are downloaded from UCI",
            is_directory=True,
        )
    },
    files=_files,
    origin=ORIGIN,
    columns={c: NUMBER if c in NUMERIC else TEXT for c in COLUMNS},
)
