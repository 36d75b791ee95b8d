"""A pre-training that is killed in the middle continues, and ends with the same result."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

# XLA optimizes as it does for users; elsewhere tests do without.
XLA = {"XLA_FLAGS": ""}


def flags(data, output):
    return [
        f"--data={data}",
        "--tasks=click,like",
        "--epochs=16",
        "--patience=16",
        "--seed=3",
        "--expert_dropout=0.1",
        f"--output_dir={output}",
    ]


def test_sigkill_in_the_middle(run_program, prepared_synthetic, tmp_path):
    data = prepared_synthetic
    run_program("pretrain", *flags(data, tmp_path / "whole"), **XLA)
    output = tmp_path / "killed"
    state = tmp_path / "killed.training" / "state.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "mptrec_tf.bin.pretrain", *flags(data, output)],
        stderr=subprocess.DEVNULL,
        env=os.environ | XLA,
    )
    while not (state.exists() and len(json.loads(state.read_text())["history"]) >= 3):
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    done = len(json.loads(state.read_text())["history"])
    assert 3 <= done < 16

    log = run_program("pretrain", *flags(data, output), **XLA).stderr
    assert f"epoch  {done:>2} " not in log  # it continued, and did not start again
    assert not (tmp_path / "killed.training").exists()
    with (
        np.load(tmp_path / "whole" / "weights.npz") as whole,
        np.load(output / "weights.npz") as killed,
    ):
        assert whole.files == killed.files
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], killed[name], err_msg=name)
    descriptions = [
        json.loads((folder / "backbone.json").read_text())
        for folder in (tmp_path / "whole", output)
    ]
    assert descriptions[0]["fingerprint"] == descriptions[1]["fingerprint"]
    assert descriptions[0]["training"]["history"] == descriptions[1]["training"]["history"]
