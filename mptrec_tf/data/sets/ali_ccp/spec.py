"""The spec of Ali-CCP; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import TEXT
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.sets.data_set import (
    DataSet,
    Files,
    Option,
    Origin,
    check_tasks,
    find_inner_folder,
)
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.storage.file_systems import is_remote

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

# Columns of the files, which have no header.
SAMPLE, CLICK, CONVERSION, COMMON = "sample_id", "click", "conversion", "common_id"
COUNT, FEATURE_LIST = "feature_count", "feature_list"
SKELETON_COLUMNS = (SAMPLE, CLICK, CONVERSION, COMMON, COUNT, FEATURE_LIST)
COMMON_COLUMNS = (COMMON, COUNT, FEATURE_LIST)
# Fields of the lists, by the file that holds them. Those of the paper: with one value in a row.
USER_FIELDS = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ITEM_FIELDS = ("205", "206", "207", "216")
COMBINED_FIELDS = ("508", "509", "702", "853")
SCENE = "301"
SKELETON_FIELDS = (*ITEM_FIELDS, *COMBINED_FIELDS, SCENE)
_MIN_COUNT = 11  # values that are seen ten times or fewer are one

TASKS = {
    task.name: task
    for task in (
        BinaryTask("click", CLICK, positive=("1",), negative=("0",)),
        BinaryTask("conversion", CONVERSION, positive=("1",), negative=("0",), given="click"),
        BinaryTask("bsi", SCENE, positive=("9351665",), missing="skip"),
        ClassesTask("scene", SCENE, missing="skip"),
    )
}
DEFAULT_TASKS = ("click", "conversion", "bsi")
ORIGIN = Origin(
    title="Ali-CCP",
    homepage="https://tianchi.aliyun.com/dataset/408",
    licence="Tianchi's terms of use",
    citation="Ma et al., Entire Space Multi-Task Model, SIGIR 2018.",
    file="sample_skeleton_train.csv",
)


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec: fields with one value in a row; field 301 is a label or a feature.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks("ali_ccp", tasks, list(TASKS))
    labels = {TASKS[name].label for name in tasks}
    fields = [f for f in (*USER_FIELDS, *SKELETON_FIELDS) if f not in labels]
    return DatasetSpec(
        name="ali_ccp",
        features=tuple(Categorical(field, min_count=_MIN_COUNT) for field in fields),
        tasks=tuple(TASKS[name] for name in tasks),
        user_id="101",
    )


def find_folder(data_dir: str, split: str) -> str:
    """Returns the folder of the files of "train" or "test": the directory, or one in it.

    The original archives, sample_train.tar.gz and sample_test.tar.gz, may have been extracted into
    folders of their names.
    """
    return find_inner_folder(data_dir, f"sample_{split}", f"sample_skeleton_{split}.csv")


def _open(tasks: Sequence[str], data_dir: str | None = None) -> "Source":
    from mptrec_tf.data.sets.ali_ccp.rows import AliCcp

    return AliCcp(data_dir, tasks)


def _files(options: Mapping[str, Any]) -> Files | None:
    data_dir = options.get("data_dir")
    if not data_dir:
        return None
    base = data_dir.rstrip("/")
    patterns = {}
    for of in ("train", "test"):
        # A pipeline is compiled where there may be no network: files there are in one directory.
        folder = base if is_remote(base) else find_folder(base, of)
        patterns[of] = f"{folder.removeprefix(base)}/*_{of}.csv*".lstrip("/")
    return base, {**patterns, "validation": patterns["train"]}


ALI_CCP = DataSet(
    "ali_ccp",
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="bsi",
    options={
        "data_dir": Option(str, "directory of the original files", is_directory=True),
    },
    files=_files,
    origin=ORIGIN,
    columns=dict.fromkeys((CLICK, CONVERSION, *USER_FIELDS, *SKELETON_FIELDS), TEXT),
    sample="mptrec_tf.data.sets.ali_ccp.sample:write_sample",
)
