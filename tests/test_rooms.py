"""What may import what: the rooms of the repository, and the one direction between them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the bottom to the top: a room imports from itself and from those before it.
ROOMS = (
    "storage",
    "data",
    "layers",
    "models",
    "training",
    "artifacts",
    "export",
    "inference",
    "renewal",
    "watching",
    "serving",
    "benchmark",
    "bin",
)
PACKAGES = ("mptrec_tf", "components", "pipelines")
# Slow to import; a program that needs no pipeline must not import them.
TFX = {
    "tfx",
    "ml_metadata",
    "kfp",
    "tensorflow_model_analysis",
    "tensorflow_data_validation",
}
# The preprocessing graph is TFT's, and rows are decoded to Arrow by tfx_bsl: both belong to data.
TFT = {"tensorflow_transform", "tfx_bsl"}
# A kind of feature or task is one module with all its parts, its layer and its metrics among them.
# It imports these inside the functions that need them.
KINDS, OF_KINDS = ("mptrec_tf.data.features.", "mptrec_tf.data.tasks."), {"layers", "evaluation"}


def find_modules(root):
    """Returns the paths of all modules of the three packages, by dotted name."""
    paths = {}
    for package in PACKAGES:
        for path in (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


MODULES = find_modules(ROOT)


def iterate_at_import(node):
    """Yields the statements of a module that run when it is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from iterate_at_import(child)


def find_imports(source, modules=MODULES, walk=ast.walk):
    """Returns (line, module) of every import of a module, also of those inside functions."""
    imports = []
    for node in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imports += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            for alias in node.names:
                # Either a module of a package, or a name of a module.
                whole = f"{node.module}.{alias.name}"
                imports.append((node.lineno, whole if whole in modules else node.module))
    return imports


IMPORTS = {name: find_imports(path.read_text()) for name, path in MODULES.items()}


def find_room(module):
    """Returns the part of mptrec_tf that a module is in, or its own name if it is in none."""
    package, *rest = module.split(".")
    return rest[0] if package == "mptrec_tf" and rest else package


def explain_direction(module, target):
    """Returns why a module must not import another; None if it may."""
    package, other = module.split(".")[0], target.split(".")[0]
    if package not in PACKAGES:
        return None
    if other not in PACKAGES:
        if package == "mptrec_tf" and other in TFX:
            return f"nothing in mptrec_tf imports {other}"
        data_only = other in TFT and find_room(module) in ROOMS and find_room(module) != "data"
        return f"only data imports {other}" if data_only else None
    if PACKAGES.index(other) > PACKAGES.index(package):
        return f"{package} imports nothing of {other}"
    if package != "mptrec_tf":
        return None
    here, there = find_room(module), find_room(target)
    if here == there or there == "mptrec_tf":
        return None
    if here == "evaluation":
        allowed = there == "errors" or target.startswith("mptrec_tf.data.spec")
        return None if allowed else "evaluation imports the spec alone"
    if here not in ROOMS:
        # Single modules beside the rooms, which every room may use.
        return f"{module} is in no room, and imports nothing of one" if there in ROOMS else None
    if module.startswith(KINDS) and there in OF_KINDS:
        return None
    if there in ROOMS and ROOMS.index(there) > ROOMS.index(here):
        return f"{here} is below {there}"
    return None


def find_circles(imports):
    """Returns the sets of modules that import each other, directly or through others."""
    order, lowest, stack, components = {}, {}, [], []

    def visit(name):
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in imports[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                components.append(set(stack[at:]))
            del stack[at:]

    for name in imports:
        if name not in order:
            visit(name)
    return components


def test_every_room_is_known():
    folders = {p.parent.name for p in (ROOT / "mptrec_tf").glob("*/__init__.py")}
    assert folders == {*ROOMS, "evaluation"}


def test_imports_point_down():
    problems = [
        f"{MODULES[name].relative_to(ROOT)}:{line}: {target}: {why}"
        for name, lines in IMPORTS.items()
        for line, target in lines
        if (why := explain_direction(name, target))
    ]
    assert not problems, "\n".join(problems)


def test_no_modules_import_each_other():
    """Imports inside functions do not count: kinds and their users import each other there."""
    between = {
        name: {
            target
            for _, target in find_imports(path.read_text(), walk=iterate_at_import)
            if target in MODULES and target != name
        }
        for name, path in MODULES.items()
    }
    assert not find_circles(between)


@pytest.mark.parametrize(
    ("module", "target", "why"),
    [
        ("mptrec_tf.data.labels", "mptrec_tf.layers.gates", "data is below layers"),
        ("mptrec_tf.training.loop", "mptrec_tf.artifacts.backbones", "training is below artifacts"),
        ("mptrec_tf.bin.serve", "mptrec_tf.serving.server.process", None),
        ("mptrec_tf.evaluation.report", "mptrec_tf.data.spec", None),
        (
            "mptrec_tf.evaluation.report",
            "mptrec_tf.data.prepared",
            "evaluation imports the spec alone",
        ),
        (
            "mptrec_tf.progress",
            "mptrec_tf.data.spec",
            "mptrec_tf.progress is in no room, and imports nothing of one",
        ),
        ("mptrec_tf.data.prepare", "tfx.v1", "nothing in mptrec_tf imports tfx"),
        ("mptrec_tf.data.prepare", "tfx_bsl.public", None),
        ("mptrec_tf.training.loop", "tfx_bsl.public", "only data imports tfx_bsl"),
        ("mptrec_tf.bin.pretrain", "components.report", "mptrec_tf imports nothing of components"),
        ("components.report", "pipelines.config", "components imports nothing of pipelines"),
        ("pipelines.results", "components.report", None),
    ],
)
def test_a_wrong_direction_is_named(module, target, why):
    assert explain_direction(module, target) == why


def test_imports_inside_functions_count_and_circles_are_found():
    source = "import a.b\ndef f():\n    from c import d, e\n"
    assert find_imports(source, {"c.d": None}) == [(1, "a.b"), (3, "c.d"), (3, "c")]
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert find_circles(graph) == [{"b", "c"}]


def list_functions(path):
    """(name, line, arguments but for self and cls) of every function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            of = node.args
            names = [a.arg for a in (*of.posonlyargs, *of.args, *of.kwonlyargs)]
            yield node.name, node.lineno, [n for n in names if n not in ("self", "cls")]


def test_no_function_takes_more_than_seven_arguments():
    paths = [*MODULES.values(), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("tests/**/*.py")]
    many = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in paths
        for name, line, arguments in list_functions(path)
        if len(arguments) > 7
    ]
    # Fixtures are no arguments that a caller gives, and TFX's metrics call with names of theirs.
    assert not [place for place in many if " test_" not in place]


def test_every_package_says_what_is_public():
    packages = [path for path in MODULES.values() if path.name == "__init__.py"]
    assert len(packages) > 20
    silent = [p.relative_to(ROOT).as_posix() for p in packages if "__all__" not in p.read_text()]
    assert not silent
