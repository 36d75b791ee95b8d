"""Registries: built-in kinds on demand, custom kinds by one call or as a plug-in."""

import os
import subprocess
import sys

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.kinds import Registry


def make_registry():
    return Registry("number", {"pi": "math:pi", "e": "math:e"})


def test_built_in_kinds_come_first_and_are_imported_on_demand():
    registry = make_registry()
    registry.register("three", 3)
    assert registry.names() == ("pi", "e", "three")
    assert registry.get("pi") == pytest.approx(3.14159, abs=1e-5)
    assert registry.get("three") == 3
    assert list(registry.all()) == ["pi", "e", "three"]


def test_an_unknown_kind_is_named_with_what_there_is():
    with pytest.raises(InputError, match="unknown number 'ip'; there are pi, e"):
        make_registry().get("ip")


def test_two_kinds_cannot_share_a_name():
    registry = make_registry()
    registry.register("three", 3)
    registry.register("three", 3)  # a module that is imported twice
    for name in ("pi", "three"):
        with pytest.raises(ValueError, match=f"a number '{name}' already"):
            registry.register(name, 4)


def look_up_in_a_process(tmp_path, plugins):
    (tmp_path / "registries.py").write_text(
        "from mptrec_tf.kinds import Registry\nNUMBERS = Registry('number', {})\n"
    )
    (tmp_path / "plugin.py").write_text(
        "from registries import NUMBERS\nNUMBERS.register('four', 4)\n"
    )
    code = "from registries import NUMBERS; print(NUMBERS.get('four'))"
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": path, "MPTREC_PLUGINS": plugins}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )


def test_plug_ins_register_their_kinds_before_the_first_look_up(tmp_path):
    assert look_up_in_a_process(tmp_path, "plugin").stdout == "4\n"


def test_a_plug_in_that_cannot_be_imported_is_named(tmp_path):
    done = look_up_in_a_process(tmp_path, "plugin,no_such_module")
    assert done.returncode
    assert "MPTREC_PLUGINS names 'no_such_module', which cannot be imported" in done.stderr
