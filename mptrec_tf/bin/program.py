"""What all programs share: help, quiet libraries, errors in one sentence."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from absl import app, flags
from absl import logging as absl_logging

from mptrec_tf.errors import InputError


def run(main: Callable[[Sequence[str]], None], *, pass_on_unknown_flags: bool = False) -> None:
    """Runs a program's `main` with its flags parsed; exits with status 1 on a user's mistake.

    Args:
      main: Gets the arguments that are no flags of the program.
      pass_on_unknown_flags: Whether flags that the program does not know go to `main` instead of
        being refused.
    """
    module = importlib.import_module(main.__module__)
    _quiet_libraries()

    def parse(argv: Sequence[str]) -> list[str]:
        if {"--help", "-help", "--helpshort", "-h", "-?"} & set(argv[1:]):
            print(f"{module.__doc__.strip()}\n{flags.FLAGS.module_help(module)}")
            sys.exit(0)
        try:
            return flags.FLAGS(list(argv), known_only=pass_on_unknown_flags)
        except flags.Error as error:
            _fail(argv[0], f"{error}\nSee {os.path.basename(argv[0])} --help.")

    def guarded(argv: Sequence[str]) -> None:
        absl_logging.set_verbosity(absl_logging.ERROR)
        if len(argv) > 1 and not pass_on_unknown_flags:
            _fail(argv[0], f"unexpected argument {argv[1]!r}; every argument is a --flag=value.")
        try:
            main(argv[1:])
        except InputError as error:
            _fail(argv[0], str(error))
        except KeyboardInterrupt:
            print("interrupted; nothing half-written is left", file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=parse)


def _fail(program: str, sentence: str) -> None:
    print(f"{os.path.basename(program)}: error: {sentence}", file=sys.stderr)
    sys.exit(1)


def _quiet_libraries() -> None:
    """Keeps TensorFlow's and Beam's notes out of a user's terminal; errors still come through."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.filterwarnings("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for name in ("tensorflow", "apache_beam", "absl", "root"):
        logging.getLogger(name).setLevel(logging.ERROR)


def rows_progress(description: str):
    """A progress display that counts rows; use as a context, call with the rows of each block."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    class RowsProgress:
        def __enter__(self):
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed:,.0f} rows"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            self._task = self._progress.add_task(description, total=None)
            self._progress.start()
            return lambda rows: self._progress.advance(self._task, rows)

        def __exit__(self, *_):
            self._progress.stop()

    return RowsProgress()
