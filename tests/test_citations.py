"""Files that documents, docstrings and comments cite are in the repository."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mptrec_tf", "components", "pipelines", "benchmarks", "tests", "docs", "saved_models")
CITED = re.compile(r"[\w./-]*\w\.(?:md|py)\b")
# Files that programs write.
WRITTEN = {"model_card.md"}


def list_files():
    """Returns every file that may cite another."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("*.py"), ROOT / "pyproject.toml", ROOT / "Makefile"]
    for folder in FOLDERS:
        paths += [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".md", ".yaml")]
    return sorted(paths)


def read_prose(path):
    """Returns comments and docstrings of a module, or the text of any other file."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    parts = [token.string for token in tokens if token.type == tokenize.COMMENT]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds):
            parts.append(ast.get_docstring(node) or "")
    return "\n".join(parts)


def find_missing(path, text):
    """Returns cited files that are neither in the repository or beside the file, nor written."""
    cited = {name for name in CITED.findall(text) if Path(name).name not in WRITTEN}
    places = (ROOT, path.parent)
    return sorted(name for name in cited if not any((place / name).is_file() for place in places))


def test_what_is_cited_is_there():
    missing = {
        str(path.relative_to(ROOT)): find_missing(path, read_prose(path)) for path in list_files()
    }
    assert len(missing) > 200
    assert not {path: names for path, names in missing.items() if names}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("README.md and docs/spec.md, see ../README.md.", []),
        ("the loss of method.md (style.md)", ["method.md", "style.md"]),
        ("benchmarks/no_such.py writes assets.extra/model_card.md", ["benchmarks/no_such.py"]),
        ("[a link](docs/none.md)", ["docs/none.md"]),
    ],
)
def test_what_is_missing_is_named(text, names):
    assert find_missing(ROOT / "tests" / "test_citations.py", text) == names
