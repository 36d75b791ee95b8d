"""What `components` exports."""

import subprocess
import sys
from pathlib import Path

import components

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_there():
    assert [name for name in components.__all__ if getattr(components, name).__name__ != name] == []


def test_configurations_need_no_tfx():
    code = (
        "import sys, components; components.GateConfig, components.Thresholds; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"tfx", "tensorflow"} & set(done.stdout.split())
