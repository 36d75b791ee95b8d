"""mptrec-make-sample writes a whole sample, or none."""

import os
import signal
import subprocess
import sys

import pytest

from mptrec_tf.data.sets.registry import DATASETS

# Stops the program when the first chunk of two is written.
STOPS = """
from mptrec_tf.bin import make_sample
from mptrec_tf.data.sets.planted import Planted

draw = Planted.draw

def draw_first(self, *args, **kwargs):
    yield next(draw(self, *args, **kwargs))
    {stop}

Planted.draw = draw_first
make_sample.run()
"""
FLAGS = ("--dataset=byte_rec", "--rows=9000")


def run_until(stop, *flags):
    return subprocess.run(
        [sys.executable, "-c", STOPS.format(stop=stop), *FLAGS, *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_killed_run_leaves_no_sample(run_program, tmp_path):
    output = tmp_path / "sample"
    killed = run_until("import os; os.kill(os.getpid(), 9)", f"--output_dir={output}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    [left] = os.listdir(tmp_path)
    assert os.listdir(tmp_path / left) == ["final_track2_train.txt"]
    run_program("make_sample", *FLAGS, f"--output_dir={output}")
    assert os.listdir(tmp_path) == ["sample"]  # what was left is gone
    run_program("make_sample", *FLAGS, f"--output_dir={tmp_path / 'other'}")
    [name] = os.listdir(output)
    whole = (output / name).read_bytes()
    assert whole.count(b"\n") == 9000
    assert (tmp_path / "other" / name).read_bytes() == whole


def test_a_full_disk_leaves_nothing(tmp_path):
    stop = "raise OSError(28, 'No space left on device')"
    failed = run_until(stop, f"--output_dir={tmp_path / 'sample'}")
    assert failed.returncode == 1
    assert f"error: cannot write {tmp_path / 'sample'}: No space left on device." in failed.stderr
    assert "Traceback" not in failed.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", [name for name, of in DATASETS.all().items() if of.sample])
def test_every_sample_is_written_and_opened(run_program, tmp_path, name):
    output = tmp_path / "sample"
    done = run_program("make_sample", f"--dataset={name}", "--rows=200", f"--output_dir={output}")
    of = DATASETS.get(name)
    # A title is as wide as its table.
    assert f"Made up in the shape of {of.origin.title}" in " ".join(done.stdout.split())
    assert of.open(of.tasks, data_dir=str(output)).estimated_rows("train") > 0
