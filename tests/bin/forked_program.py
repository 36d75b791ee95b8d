"""Runs a program in a forked process: a module of its own, since every process imports it."""

import os
import runpy
import sys


def main(name, flags, root, stdout, stderr):
    """Runs `mptrec_tf.bin.<name>` in `root` as `python -m` would; its output goes to files."""
    for file, number in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(root)
    os.environ["COLUMNS"] = "200"
    sys.argv = [f"{root}/mptrec_tf/bin/{name}.py", *flags]
    runpy.run_module(f"mptrec_tf.bin.{name}", run_name="__main__", alter_sys=True)
