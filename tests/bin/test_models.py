"""mptrec-pretrain --model, with built-in models and a user's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINE = """
from mptrec_tf.models.registry import MODELS, ModelKind

MODELS.register("mine", ModelKind("mine.model:Mine"))
"""
MODEL = """
from mptrec_tf.models.shared_bottom import SharedBottom


class Mine(SharedBottom):
    kind = "mine"
"""
SHORT = ("--tasks=click,like", "--epochs=1", "--expert_units=8,4", "--tower_units=4")


@pytest.mark.parametrize("model", ["single", "shared_bottom"])
def test_a_simpler_model_runs_through_all_programs(
    run_program, run_rejected, prepared_synthetic, tmp_path, model
):
    data, output = f"--data={prepared_synthetic}", tmp_path / "backbone"
    done = run_program("pretrain", data, f"--model={model}", *SHORT, f"--output_dir={output}")
    description = json.loads((output / "backbone.json").read_text())
    assert description["model"] == model
    assert description["shape"]["expert_units"] == [8, 4]
    assert description["training"]["losses"] == {}
    assert "│ like" in done.stdout
    assert f"backbone {description['fingerprint']} in {output}" in done.stdout
    # Neither shows what only MPT-Rec has.
    assert "specific_gate" not in done.stdout
    run_program("export", f"--backbone={output}", f"--output_dir={tmp_path / 'm'}")
    done = run_program("evaluate", f"--model={tmp_path / 'm'}", "--dataset=synthetic", "--rows=400")
    assert "│ click" in done.stdout


def test_fields_that_a_model_does_not_have_are_rejected(run_rejected, prepared_synthetic, tmp_path):
    flags = (f"--data={prepared_synthetic}", *SHORT, f"--output_dir={tmp_path / 'new'}")
    message = run_rejected("pretrain", *flags, "--model=single", "--adversarial_weight=0.2")
    assert message.endswith("error: model 'single' has no adversarial_weight; leave it out.")
    message = run_rejected("pretrain", *flags, "--model=shared")
    assert "mptrec|single|shared_bottom" in message.replace("'", "").replace(", ", "|")
    assert not (tmp_path / "new").exists()


def test_a_model_of_ones_own(run_program, run_rejected, prepared_synthetic, tmp_path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text(MINE)
    (package / "model.py").write_text(MODEL)
    data, output = f"--data={prepared_synthetic}", f"--output_dir={tmp_path / 'backbone'}"
    plugin = {"MPTREC_PLUGINS": "mine", "PYTHONPATH": str(tmp_path)}
    run_program("pretrain", data, "--model=mine", *SHORT, output, **plugin)
    output = tmp_path / "backbone"
    assert json.loads((output / "backbone.json").read_text())["model"] == "mine"
    # Without its module in MPTREC_PLUGINS, the model is unknown.
    message = run_rejected("export", f"--backbone={output}", f"--output_dir={tmp_path / 'm'}")
    assert "is of the model 'mine', which is unknown here" in message


def test_a_plug_in_that_cannot_be_imported_is_reported_in_a_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "mptrec_tf.bin.pretrain", "--help"],
        env=os.environ | {"MPTREC_PLUGINS": "no_such_module"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: MPTREC_PLUGINS names 'no_such_module', which cannot be imported" in done.stderr
