"""What the columns of Census-Income are; imports neither TensorFlow nor NumPy, as flags need it."""

from collections.abc import Sequence

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError, did_you_mean

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
    )
}
DEFAULT_TASKS = ("income", "marital", "education")


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
                f"unknown task {name!r}: data set 'census_income' has {', '.join(TASKS)}"
                f"{did_you_mean(name, TASKS)}"
            )
    # The income column is an answer, not a feature, whether or not a task asks for it.
    labels = {"income_50k", *(TASKS[name].label for name in tasks)}
    features = [c for c in COLUMNS if c not in labels]
    return DatasetSpec(
        name="census_income",
        features=tuple(Numeric(c) if c in NUMERIC else Categorical(c) for c in features),
        tasks=tuple(TASKS[name] for name in tasks),
    )
