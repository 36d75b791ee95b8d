"""The examples in the docstrings of layers, models and heads are correct."""

import doctest
import importlib
from pathlib import Path

import pytest

import mptrec_tf

ROOT = Path(mptrec_tf.__file__).parent
MODULES = sorted(
    ".".join(("mptrec_tf", *path.relative_to(ROOT).with_suffix("").parts))
    for folder in ("layers", "models", "training", "evaluation", "inference")
    for path in (ROOT / folder).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted
    assert not failed
