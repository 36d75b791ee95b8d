"""The spec of AliExpress; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, TEXT
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sets.data_set import DataSet, Files, Option, Origin, check_tasks
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

COUNTRIES = ("NL", "ES", "FR", "US")
SEARCH, CLICK, CONVERSION = "search_id", "click", "conversion"
COUNTRY = "country"  # not in the files
CATEGORICAL = tuple(f"categorical_{number}" for number in range(1, 17))
NUMERIC = tuple(f"numerical_{number}" for number in range(1, 64))
COLUMNS = (SEARCH, *CATEGORICAL, *NUMERIC, CLICK, CONVERSION)
# Names of the tasks of one country, and the country.
_COUNTRY_OF = {f"{of}_{c.lower()}": c for c in COUNTRIES for of in (CLICK, CONVERSION)}
TASKS = (CLICK, CONVERSION, *_COUNTRY_OF)
NEW_TASK = "click_us"
DEFAULT_TASKS = (CLICK, CONVERSION, NEW_TASK)
ORIGIN = Origin(
    title="AliExpress",
    homepage="https://tianchi.aliyun.com/dataset/74690",
    licence="the terms of Tianchi",
    citation="Li et al., Improving Multi-Scenario Learning to Rank in E-commerce, CIKM 2020.",
    file="AliExpress_",
)


def list_countries(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns the countries of each of some tasks.

    A task without a country in its name is over those that no other of the tasks names.
    """
    own = {_COUNTRY_OF[name] for name in names if name in _COUNTRY_OF}
    rest = tuple(country for country in COUNTRIES if country not in own)
    return {name: (_COUNTRY_OF[name],) if name in _COUNTRY_OF else rest for name in names}


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec; neither the country nor the search is a feature.

    Raises:
      InputError: for an unknown task, one that is left without a country, or a conversion without
        the click that it is given.
    """
    check_tasks("aliexpress", tasks, TASKS)
    made = []
    for name, countries in list_countries(tasks).items():
        if not countries:
            raise InputError(
                f"no country is left for task {name!r}: it is over those that no other task names, "
                "and the others name all; leave it out, or one of them."
            )
        where = {} if len(countries) == len(COUNTRIES) else {COUNTRY: countries}
        # A country's conversion is given nothing: as a new task it comes to a frozen model, which
        # does not predict that country's click.
        given = CLICK if name == CONVERSION else None
        label = name.partition("_")[0]
        made.append(BinaryTask(name, label, ("1",), ("0",), where=where, given=given))
    return DatasetSpec(
        name="aliexpress",
        features=(*map(Categorical, CATEGORICAL), *map(Numeric, NUMERIC)),
        tasks=tuple(made),
    )


def read_countries(text: str) -> tuple[str, ...]:
    """Returns the countries in a list by commas.

    Raises:
      InputError: for an unknown country, one that is named twice, or none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in COUNTRIES:
            raise InputError(
                f"--countries={text}: there is no country {name!r}; there are "
                f"{', '.join(COUNTRIES)}{did_you_mean(name, COUNTRIES)}"
            )
        if names.count(name) > 1:
            raise InputError(f"--countries={text} names {name} twice.")
    if not names:
        raise InputError(f"--countries names none; give some of {','.join(COUNTRIES)}.")
    return tuple(names)


def check_tasks_of(tasks: Sequence[str], countries: Sequence[str]) -> None:
    """Rejects tasks none of whose countries are read.

    Raises:
      InputError: naming the first such task.
    """
    for name, of in list_countries(tasks).items():
        if not set(of) & set(countries):
            others = [other for other in tasks if other != name] or [CLICK]
            raise InputError(
                f"task {name!r} is over rows of {', '.join(of)}, and --countries="
                f"{','.join(countries)} leaves them out; read one of these countries, too, or name "
                f"the tasks by --tasks, such as {','.join(others)}."
            )


def _open(
    tasks: Sequence[str], data_dir: str | None = None, countries: str = ",".join(COUNTRIES)
) -> "Source":
    from mptrec_tf.data.sets.aliexpress.rows import AliExpress

    return AliExpress(data_dir, tasks, read_countries(countries))


def _files(options: Mapping[str, Any]) -> Files | None:
    if not options.get("data_dir"):
        return None
    folders = "AliExpress_??"
    train = f"{folders}/train.csv*"
    return options["data_dir"], {
        "train": train,
        "validation": train,
        "test": f"{folders}/test.csv*",
    }


ALIEXPRESS = DataSet(
    "aliexpress",
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task=NEW_TASK,
    options={
        "data_dir": Option(str, "directory of the folders AliExpress_NL etc.", is_directory=True),
        "countries": Option(
            str,
            "which of its folders are read, by commas",
            default=",".join(COUNTRIES),
            check=read_countries,
        ),
    },
    files=_files,
    origin=ORIGIN,
    columns={
        **dict.fromkeys((COUNTRY, *COLUMNS), TEXT),
        **dict.fromkeys(NUMERIC, NUMBER),
    },
    sample="mptrec_tf.data.sets.aliexpress.sample:write_sample",
)
