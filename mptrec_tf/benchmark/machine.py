"""What a result was made with: versions, commit, machine."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import mptrec_tf

_PACKAGES = ("tensorflow", "tf-keras", "numpy", "scikit-learn", "scipy", "tensorflow-transform")


def describe_versions() -> dict[str, str]:
    """Returns the versions of Python, of this package, and of what computes results."""
    versions = {"python": platform.python_version(), "mptrec-tf": mptrec_tf.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe_machine() -> dict[str, Any]:
    """Returns the machine: system, processor, and the cores that this process may use."""
    return {
        "system": platform.platform(),
        "processor": _read_processor() or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")


def find_commit() -> str | None:
    """Returns the commit of the repository that the package is in; None if it is in none.

    Ends in "+changes" if tracked files differ from the commit.
    """
    root = Path(mptrec_tf.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _ask_git(root, "rev-parse", "HEAD").strip()
        return commit + ("+changes" if _ask_git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _ask_git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stdout
