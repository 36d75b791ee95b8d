"""What forked processes run: a module of its own, since every process imports it."""

import contextlib
import gc
import os
import runpy
import sys

# Garbage is collected after so many new objects: 700, 10, 10 by default.
COLLECT_AT = (100_000, 50, 50)


def main(name, flags, root, stdout, stderr, environment):
    """Runs a module in `root` as `python -m` would; its output goes to files.

    Args:
      name: The module, or a program of `mptrec_tf.bin`.
      flags: Its flags.
      root: The working directory.
      stdout: File of its standard output.
      stderr: File of its standard error.
      environment: All its variables.
    """
    module = name if "." in name else f"mptrec_tf.bin.{name}"
    gc.set_threshold(*COLLECT_AT)
    for file, number in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(root)
    os.environ.clear()  # those of the process that this one was forked from
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = [f"{root}/{module.replace('.', '/')}.py", *flags]
    if name in ("prepare", "pipelines.local") and "NO_BEAM_CACHES" not in environment:
        import beam_caches  # noqa: F401
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@contextlib.contextmanager
def train_without_xla():
    """A context in which XLA does not compile steps."""
    from mptrec_tf.training import loop

    compile_model = loop.compile_model

    def compile_without_xla(model, config, steps):
        model.fixed_shapes = False
        compile_model(model, config, steps)

    loop.compile_model = compile_without_xla
    try:
        yield
    finally:
        loop.compile_model = compile_model


def write_to(output):
    """Appends what this process writes to a file."""
    for number in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)


def refresh(base_path, files, directory, begun, output):
    """Renews a model in production and pushes it; the file `begun` appears when that begins."""
    write_to(output)
    import beam_caches  # noqa: F401

    from mptrec_tf.data.sources.tabular import Tabular
    from mptrec_tf.renewal.plan import make_plan
    from mptrec_tf.renewal.refresh import push, refresh

    plan = make_plan(base_path)
    with train_without_xla():
        open(begun, "w").close()
        verdicts = refresh(plan, Tabular(plan.spec, files), directory)
        push(plan, directory, verdicts, plan.spec.task_names)


def pretrain(pipelines, tasks, output):
    """Runs the pre-training pipeline; what it writes goes to a file."""
    write_to(output)
    import beam_caches  # noqa: F401

    pipelines.pretrain(tasks)
