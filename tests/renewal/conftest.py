"""A model in production, and the rows of a later month: new users, other tastes."""

import csv
import hashlib
import shutil

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import save_trained_backbone
from mptrec_tf.artifacts.task_packages import save_trained_package
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.export.serving_model import export
from mptrec_tf.models.prompted import NewTask
from mptrec_tf.renewal.plan import make_plan
from mptrec_tf.renewal.refresh import refresh
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig
from mptrec_tf.training.new_task import learn
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext

SPEC = DatasetSpec(
    "shop",
    features=(
        Categorical("user", oov_buckets=3),
        Categorical("item", width=6),
        Categorical("place", hash_buckets=7),
        Numeric("price", "log"),
        Bag("tags"),
    ),
    tasks=(
        BinaryTask("click", "clicked", positive="1"),
        BinaryTask("like", "liked", positive="1"),
        BinaryTask("share", "shared", positive="1", missing="skip"),
        RegressionTask("seconds", "seconds", scale="standard"),
    ),
)
SHAPE = {"expert_units": (12, 8), "tower_units": (4,)}
COUNTS = {"train": 600, "validation": 200, "test": 200}


def write_month(folder, month):
    """Writes the files of a month. Users come and go: month 0 has 0 to 29, month 1 has 10 to 39."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(month)
    for split, count in COUNTS.items():
        users = random.integers(10 * month, 10 * month + 30, count)
        items = random.integers(20, size=count)
        price = np.round(random.lognormal(2, 1, count), 2)
        score = np.sin(users) + np.cos(items) + (np.log(price) - 2) / 2
        labels = (random.random((3, count)) < 1 / (1 + np.exp(-2 * score))).astype(int)
        seconds = np.round(30 + 10 * score + random.normal(size=count), 2)
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow("user,item,place,price,tags,clicked,liked,shared,seconds".split(","))
            for i in range(count):
                tags = "|".join(f"t{t}" for t in random.integers(8, size=random.integers(4)))
                row = [f"u{users[i]}", f"i{items[i]}", f"p{users[i] % 9}", price[i], tags]
                writer.writerow([*row, *labels[:, i], seconds[i]])
    return folder


def open_month(folder, spec=SPEC):
    return Tabular(spec, {split: [str(folder / f"{split}.csv")] for split in COUNTS})


@pytest.fixture(scope="session")
def month(tmp_path_factory):
    """The folder of a month's files, by number."""
    root = tmp_path_factory.mktemp("months")
    return lambda number: write_month(root / str(number), number)


@pytest.fixture(scope="session")
def open_rows():
    return open_month


@pytest.fixture(scope="session")
def trained(month, tmp_path_factory, without_xla):
    """The base path of a model of the first month: two pre-trained tasks and two added ones."""
    folder = tmp_path_factory.mktemp("production")
    data = prepare(open_month(month(0)), str(folder / "data"))
    training = TrainingConfig(epochs=3, batch_size=128, learning_rate=5e-3)
    config = PretrainingConfig(("click", "like"), "mptrec", SHAPE, {"gen_weight": 0.5}, training)
    with without_xla():
        context = RunContext(str(folder / "backbone.training"), show_progress=False)
        model, result = pretrain(data, config, context)
        backbone = save_trained_backbone(
            str(folder / "backbone"), model, data, config.record(), result, context.directory
        )
        packages = []
        for name, head, shape in (
            ("share", "residual_small", {"tower_units": (5,)}),
            ("seconds", "fixed", {}),
        ):
            context = RunContext(
                str(folder / f"{name}.training"),
                fingerprint=backbone.fingerprint,
                show_progress=False,
            )
            chosen, _ = learn(
                backbone.model,
                data,
                name,
                NewTaskConfig(head, shape, {"epochs": 2, "batch_size": 128}),
                context,
            )
            [task] = data.spec.select_tasks([name])
            packages.append(
                save_trained_package(
                    str(folder / name),
                    NewTask(task, chosen.head),
                    backbone,
                    data,
                    {"training": to_plain(chosen.training)},
                    chosen.result,
                    context.directory,
                )
            )
    export(backbone, packages, str(folder / "shop"))
    return folder / "shop"


def digest_files(folder):
    """A digest of all files and their names."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="session")
def digest():
    return digest_files


@pytest.fixture(scope="session")
def renewed(trained, month, open_rows, tmp_path_factory, without_xla):
    """The folder of a whole renewal that was not interrupted, its plan, and its verdicts."""
    folder = tmp_path_factory.mktemp("renewed")
    plan = make_plan(str(trained))
    with without_xla():
        verdicts = refresh(plan, open_rows(month(1), plan.spec), str(folder))
    return folder, plan, verdicts


@pytest.fixture
def production(trained, tmp_path):
    """A copy of that model, for a test that changes it."""
    shutil.copytree(trained, tmp_path / "shop")
    return tmp_path / "shop"
