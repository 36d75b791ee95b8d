"""--help shows the defaults of flags, and these are those of the configurations."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mptrec_tf.bin import defaults
from mptrec_tf.models.heads.registry import HEADS
from mptrec_tf.models.loss_weights import LOSS_WEIGHTS
from mptrec_tf.models.registry import DEFAULT, MODELS
from mptrec_tf.training.configurations import NewTaskConfig, TrainingConfig, make_recipe

ROOT = Path(__file__).parents[2]


def flags(program):
    """Returns the text of each flag in a program's help, on one line, by name."""
    done = subprocess.run(
        [sys.executable, "-m", f"mptrec_tf.bin.{program}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    parts = re.split(r"^  --(?:\[no\])?(\w+):\s", done.stdout, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(*[iter(parts)] * 2, strict=True)}


def default(text):
    [value] = re.findall(r"\(default: (.*?)\)", text)
    return value


def as_given(value):
    """Returns a value as a user would write it after a flag."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_pretrain_shows_what_the_configurations_hold():
    texts = flags("pretrain")
    shown = {"model"}
    assert default(texts["model"]) == DEFAULT
    kinds = MODELS.all()
    for name, text in texts.items():
        holding = {
            model: as_given(getattr(configuration, name))
            for model, kind in kinds.items()
            for configuration in (kind.shape, kind.losses, TrainingConfig)
            if hasattr(configuration, name)
        }
        if not holding:
            continue
        shown.add(name)
        # All models have the same default, or no such field.
        assert len(set(holding.values())) == 1, name
        without = {model: "none" for model in kinds if model not in holding}
        by_kind = {model: (holding | without)[model] for model in kinds}
        assert default(text) == defaults.join_kinds(by_kind), name
    own = {"data", "tasks", "output_dir", "strategy", "version", "memory_limit"}
    assert shown == texts.keys() - own
    mptrec = kinds["mptrec"]
    for configuration in (mptrec.shape, mptrec.losses, TrainingConfig):
        for field in dataclasses.fields(configuration):
            if field.name in texts and field.default is not dataclasses.MISSING:
                assert default(texts[field.name]).split("; ")[0] == as_given(field.default)
    assert default(texts["levels"]).endswith("; ple: 1")
    assert default(texts["epochs"]) == "30"
    assert default(texts["expert_units"]) == "256,128"
    others = ", ".join(name for name in kinds if name != "mptrec")
    assert default(texts["gen_weight"]) == f"0.9; {others}: none"
    assert default(texts["loss_weights"]) == "equal"
    assert set(LOSS_WEIGHTS.names()) <= set(re.findall(r"\w+", texts["loss_weights"]))


def test_add_task_shows_what_holds_for_each_kind_of_head():
    texts = flags("add_task")
    assert default(texts["head"]) == NewTaskConfig().head
    shown = set()
    for name, text in texts.items():
        holding = {
            kind: as_given(getattr(configuration, name))
            for kind in HEADS.names()
            for configuration in (make_recipe(kind), HEADS.get(kind).make_shape())
            if hasattr(configuration, name)
        }
        if not holding:
            continue
        shown.add(name)
        first, *others = default(text).split("; ")
        read = dict.fromkeys(HEADS.names(), first)
        for other in others:
            kinds, value = other.split(": ")
            read |= dict.fromkeys(kinds.split(", "), value)
        assert read == {kind: holding.get(kind, "none") for kind in HEADS.names()}, name
    assert shown == {
        *("epochs", "patience", "batch_size", "learning_rate", "seed", "calibrate"),
        *(
            "tower_units",
            "tower_dropout",
            "l2_dense",
            "tau",
            "kl_weight",
            "own_units",
            "rank",
            "own_width",
        ),
    }
    assert default(texts["epochs"]) == "30; residual, residual_small, own_embedding: 15"
    assert (
        default(texts["tower_dropout"]) == "0.0; residual, own_embedding: 0.2; residual_small: 0.1"
    )
    assert default(texts["seed"]) == "1"


def test_prepare_shows_what_the_built_in_data_sets_hold():
    from mptrec_tf.data.sets.census_income import rows as census_income
    from mptrec_tf.data.sets.synthetic import rows as synthetic

    texts = flags("prepare")
    assert str(synthetic.DEFAULT_ROWS["train"]) in texts["rows"]
    assert f"synthetic: {','.join(synthetic.TASKS)}" in texts["tasks"]
    assert f"census_income: {','.join(census_income.DEFAULT_TASKS)}" in texts["tasks"]


@pytest.mark.parametrize(
    ("by_kind", "shown"),
    [
        ({"a": "1", "b": "1"}, "1"),
        ({"a": "1", "b": "2", "c": "1", "d": "2"}, "1; b, d: 2"),
        ({"a": "1", "b": "none"}, "1; b: none"),
    ],
)
def test_kinds_that_hold_the_same_share_a_place(by_kind, shown):
    assert defaults.join_kinds(by_kind) == shown


PROGRAMS = [
    file.stem
    for file in sorted((ROOT / "mptrec_tf/bin").glob("*.py"))
    if "\ndef run()" in file.read_text()
]
SLOW = {"tensorflow", "apache_beam", "pandas", "pyarrow", "sklearn", "scipy", "matplotlib"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_starts_without_what_takes_long_to_import(program):
    code = f"import sys, mptrec_tf.bin.{program}; print(*{SLOW!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
