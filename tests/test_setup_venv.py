"""requirements/setup_venv.sh on simulated machines: fake tools, nothing installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "requirements" / "setup_venv.sh"
BASH = shutil.which("bash")
REAL_TOOLS = "bash cat cp dirname flock mkdir mv rm rmdir sha256sum tail".split()

# Responds to the script's probe as a Python does, makes a "venv" of itself, and logs calls of pip.
FAKE_PYTHON = """\
case "$*" in
  "-I -c "*) printf '%s\\n' {version} {path} {headers} {has_venv} ;;
  "-m venv "*) mkdir -p "$3/bin" && cp {path} "$3/bin/python" ;;
  *) echo "python $*" >>{calls}; {pip} ;;
esac
"""


class Machine:
    """A folder that stands for a machine: its tools, its Pythons and a checkout of the project."""

    def __init__(self, folder, glibc):
        self.tools = folder / "tools"
        self.pythons = folder / "pythons"
        self.project = folder / "project"
        self.venv = self.project / ".venv"
        self.calls_file = folder / "calls"
        for path in (self.tools, self.pythons, self.project / "requirements"):
            path.mkdir(parents=True)
        for tool in REAL_TOOLS:
            (self.tools / tool).symlink_to(shutil.which(tool))
        self.tool("uname", "echo Linux x86_64")
        self.tool("getconf", f"echo glibc {glibc}")
        self.tool("g++", "")
        self.tool("uv", f'echo "uv $*" >>{self.calls_file}')
        for stack in "ab":
            self.lock(stack).write_text(f"package-{stack}==1\n")
        (self.project / "setup.py").write_text("")

    def lock(self, stack):
        return self.project / "requirements" / f"stack-{stack}.txt"

    def tool(self, name, body, folder=None):
        path = (folder or self.tools) / name
        path.write_text(f"#!{BASH}\n{body}\n")
        path.chmod(0o755)
        return path

    def python(self, version, headers=True, has_venv="yes", pip="exit 1", folder=None):
        headers_folder = self.pythons / f"include{version}"
        headers_folder.mkdir(exist_ok=True)
        if headers:
            (headers_folder / "Python.h").touch()
        body = FAKE_PYTHON.format(
            version=version,
            path=(folder or self.pythons) / f"python{version}",
            headers=headers_folder,
            has_venv=has_venv,
            calls=self.calls_file,
            pip=pip,
        )
        return self.tool(f"python{version}", body, folder or self.pythons)

    def set_up(self, **environment):
        self.calls_file.write_text("")
        return subprocess.run(
            [BASH, SCRIPT, self.project],
            env={
                "PATH": str(self.tools),
                "HOME": str(self.project.parent),
                "PYTHON_DIRS": str(self.pythons),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    def calls(self):
        return self.calls_file.read_text().splitlines()


@pytest.fixture
def machine(tmp_path):
    """Return an older Linux with Python 3.10 and everything else that is needed."""
    machine = Machine(tmp_path, "2.36")
    machine.python("3.10")
    return machine


def assert_rejected(machine, result, *words):
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    for word in words:
        assert word in result.stderr
    assert machine.calls() == []
    assert not machine.venv.exists()


@pytest.mark.parametrize(
    ("glibc", "present", "named"),
    [
        ("2.36", ["3.9", "3.11", "3.13"], "no Python 3.10 was found"),
        ("2.39", ["3.9", "3.14"], "no Python 3.13, 3.12, 3.11, 3.10 was found"),
    ],
)
def test_no_fitting_python(tmp_path, glibc, present, named):
    machine = Machine(tmp_path, glibc)
    for version in present:
        machine.python(version)
    assert_rejected(machine, machine.set_up(), named, f"glibc {glibc}", "PYTHON=")


def test_no_compiler(machine):
    (machine.tools / "g++").unlink()
    assert_rejected(
        machine, machine.set_up(), "g++ is missing", "pyfarmhash", "apt-get install g++"
    )


def test_no_headers(tmp_path):
    machine = Machine(tmp_path, "2.36")
    machine.python("3.10", headers=False)
    assert_rejected(
        machine, machine.set_up(), "include3.10/Python.h", "apt-get install python3.10-dev"
    )


def test_no_venv_module(tmp_path):
    machine = Machine(tmp_path, "2.36")
    machine.python("3.10", has_venv="no")
    assert_rejected(machine, machine.set_up(), "no venv module", "apt-get install python3.10-venv")


@pytest.mark.parametrize(
    ("tool", "body", "word"),
    [
        ("uname", "echo Linux aarch64", "Linux aarch64"),
        ("uname", "echo Darwin x86_64", "Darwin x86_64"),
        ("getconf", "exit 1", "glibc only"),
        ("getconf", "echo glibc 2.28", "2.28"),
    ],
)
def test_machine_without_wheels(machine, tool, body, word):
    machine.tool(tool, body)
    assert_rejected(machine, machine.set_up(), word)


@pytest.mark.parametrize(
    ("glibc", "present", "stack", "version"),
    [
        ("2.36", ["3.10", "3.11", "3.13"], "a", "3.10"),
        ("2.38", ["3.10", "3.12"], "a", "3.10"),
        ("2.39", ["3.10", "3.11", "3.12", "3.13", "3.14"], "b", "3.13"),
        ("2.41", ["3.10", "3.11"], "b", "3.11"),
        ("2.41", ["3.10"], "a", "3.10"),
    ],
)
def test_glibc_and_python_decide_the_stack(tmp_path, glibc, present, stack, version):
    machine = Machine(tmp_path, glibc)
    for other in present:
        machine.python(other)
    result = machine.set_up()
    assert result.returncode == 0, result.stderr
    assert f"python{version} and requirements/stack-{stack}.txt" in result.stdout
    sync, project = machine.calls()
    assert sync.startswith("uv pip sync")
    assert sync.endswith(f"requirements/stack-{stack}.txt")
    assert "--no-deps --no-build-isolation --editable ." in project


def test_python_on_the_path_goes_first_and_a_shim_that_fails_is_passed_over(machine):
    on_path = machine.tool(
        "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127"
    )
    assert f"{machine.pythons}/python3.10" in machine.set_up().stdout
    shutil.rmtree(machine.venv)
    on_path.unlink()
    machine.python("3.10", folder=machine.tools)
    assert f"{machine.tools}/python3.10" in machine.set_up().stdout


def test_a_named_python_wins(tmp_path):
    machine = Machine(tmp_path, "2.39")
    machine.python("3.13")
    older = machine.python("3.10")
    assert "stack-b" in machine.set_up().stdout
    # Another Python than that of the venv: the venv is made again.
    assert "Setting up" in machine.set_up(PYTHON=str(older)).stdout
    assert machine.set_up(PYTHON=str(older)).stdout == ""
    # It stays when no Python is named.
    assert machine.set_up().stdout == ""


def test_a_named_python_that_does_not_fit(machine):
    newer = machine.python("3.12")
    result = machine.set_up(PYTHON=str(newer))
    assert_rejected(machine, result, "is Python 3.12", "glibc 2.36", "Python 3.10 only")
    assert_rejected(machine, machine.set_up(PYTHON="/no/such"), "PYTHON=/no/such does not run")


def test_a_second_call_installs_nothing(machine):
    first = machine.set_up()
    assert first.returncode == 0, first.stderr
    assert machine.calls()
    second = machine.set_up()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert machine.calls() == []


@pytest.mark.parametrize("changed", ["requirements/stack-a.txt", "setup.py"])
def test_a_change_is_detected_and_not_started_from_zero(machine, changed):
    machine.set_up()
    marker = machine.venv / "marker"
    marker.touch()
    (machine.project / changed).write_text("# changed\n")
    assert "up to date" in machine.set_up().stdout
    assert len(machine.calls()) == 2
    assert marker.exists()
    assert machine.set_up().stdout == ""


def test_the_other_stacks_lock_does_not_matter(machine):
    machine.set_up()
    machine.lock("b").write_text("package-b==2\n")
    assert machine.set_up().stdout == ""


def test_a_killed_installation_is_done_again_from_zero(machine):
    # uv kills the script that called it, as a user does who loses patience.
    working = (machine.tools / "uv").read_text()
    machine.tool("uv", "kill -9 $PPID")
    assert machine.set_up().returncode == -9
    half_done = machine.venv / "half-done"
    half_done.touch()
    (machine.tools / "uv").write_text(working)
    result = machine.set_up()
    assert "Setting up" in result.stdout, result.stderr
    assert len(machine.calls()) == 2
    assert not half_done.exists()
    assert machine.set_up().stdout == ""


def test_a_failed_installation_shows_the_end_of_its_log(machine):
    machine.tool("uv", "for i in {1..99}; do echo line $i; done; exit 2")
    result = machine.set_up()
    assert result.returncode == 1
    assert "line 99" in result.stderr
    assert "line 50" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("setup_venv: the installation failed")
    machine.tool("uv", "")
    assert machine.set_up().returncode == 0


def test_a_venv_made_by_hand_is_brought_up_to_date(machine):
    (machine.venv / "bin").mkdir(parents=True)
    shutil.copy(machine.pythons / "python3.10", machine.venv / "bin" / "python")
    assert "Bringing .venv up to date" in machine.set_up().stdout
    assert machine.set_up().stdout == ""


def test_a_venv_made_by_hand_is_never_removed(machine):
    own_file = machine.venv / "own_file"
    machine.venv.mkdir()
    own_file.touch()
    result = machine.set_up()
    assert result.returncode == 1
    assert "move it away" in result.stderr
    assert own_file.exists()


def test_without_uv_pip_fetches_it_beside_the_packages(tmp_path):
    machine = Machine(tmp_path, "2.36")
    uv = machine.tools / "uv"
    shelf = uv.rename(tmp_path / "uv")
    machine.python("3.10", pip=f'mkdir -p "$5/bin" && cp {shelf} "$5/bin/uv"')
    assert machine.set_up().returncode == 0
    fetch, sync, project = machine.calls()
    assert fetch == f"python -m pip install --target {machine.venv}/uv uv"
    assert sync.startswith("uv pip sync")
    # The next change finds uv there.
    machine.lock("a").write_text("package-a==2\n")
    machine.set_up()
    assert machine.calls() == [sync, project]


def test_without_any_uv_pip_installs_the_lock(tmp_path):
    machine = Machine(tmp_path, "2.36")
    (machine.tools / "uv").unlink()
    machine.python("3.10", pip='[[ "$*" != *" uv" ]]')
    assert machine.set_up().returncode == 0
    assert [
        call.removeprefix("python -m pip install --no-deps ") for call in machine.calls()[1:]
    ] == [
        "--requirement requirements/stack-a.txt",
        "--no-build-isolation --editable .",
    ]


def test_a_real_python_is_understood(tmp_path):
    machine = Machine(tmp_path, "2.39")
    (machine.tools / "g++").unlink()
    # The last check but one: the Python ran, fits, and has the venv module.
    assert_rejected(machine, machine.set_up(PYTHON=sys.executable), "g++ is missing")


def test_the_script_can_be_run():
    assert os.access(SCRIPT, os.X_OK)
