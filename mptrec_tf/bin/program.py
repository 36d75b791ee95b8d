"""What all programs share: help, quiet libraries, errors in one sentence.

def main(arguments):
    ...

program.run(main)
"""

import atexit
import importlib
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from absl import app, flags
from absl import logging as absl_logging

import mptrec_tf
from mptrec_tf.bin import native_messages
from mptrec_tf.errors import InputError
from mptrec_tf.progress import report_progress

progress = report_progress  # its name in programs


def _end_early(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Ends a program whose flags cannot be defined, as with a plug-in that cannot be imported."""
    if not isinstance(error, InputError):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"{_name(sys.argv[0])}: error: {error}", file=sys.stderr)


# Python calls this hook for an error before `run`, and ends with status 1.
sys.excepthook = _end_early


def run(main: Callable[[Sequence[str]], None], *, pass_on_unknown_flags: bool = False) -> None:
    """Runs a program's `main` with its flags parsed; exits with status 1 on a user's mistake.

    Args:
      main: Gets the arguments that are not flags of the program.
      pass_on_unknown_flags: Whether flags that the program does not know go to `main` instead of
        being rejected.
    """
    module = importlib.import_module(main.__module__)
    _quiet_libraries()

    def parse(argv: Sequence[str]) -> list[str]:
        if {"--version", "-version"} & set(argv[1:]):
            print(f"{_name(argv[0])} {mptrec_tf.__version__}")
            sys.exit(0)
        if {"--help", "-help", "--helpshort", "-h", "-?"} & set(argv[1:]):
            print(f"{module.__doc__.strip()}\n{_flags_help(module)}")
            sys.exit(0)
        try:
            return flags.FLAGS(list(argv), known_only=pass_on_unknown_flags)
        except flags.Error as error:
            _fail(argv[0], f"{error}\nSee {_name(argv[0])} --help.")

    def guarded(argv: Sequence[str]) -> None:
        absl_logging.set_verbosity(absl_logging.ERROR)
        if len(argv) > 1 and not pass_on_unknown_flags:
            _fail(argv[0], f"unexpected argument {argv[1]!r}; every argument is a --flag=value.")
        try:
            with native_messages.hide_native_messages(
                _name(argv[0]), (InputError, BrokenPipeError)
            ):
                main(argv[1:])
                if sys.stdout is not None:
                    sys.stdout.flush()
        except BrokenPipeError:
            # Nobody reads on, as after `| head`: it ends silently, as other programs do.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        except InputError as error:
            _fail(argv[0], str(error))
        except KeyboardInterrupt:
            print("interrupted; start again with the same flags to continue", file=sys.stderr)
            sys.exit(130)

    app.run(guarded, flags_parser=parse)


def _flags_help(module: ModuleType) -> str:
    """Returns the help for the program's flags, without the quotes that absl adds to defaults."""
    text = re.sub(r"\n +\(default: ''\)", "", flags.FLAGS.module_help(module))  # an empty list
    text = re.sub(r"(?s)\(default: '(.*?)'\)", r"(default: \1)", text)
    return f"{text}\n  --version: Prints the program's version."


def print_empty(source: Any) -> None:
    """Prints which files of a source have no rows and were skipped."""
    for split, files in getattr(source, "empty", {}).items():
        if files:
            what = "file" if len(files) == 1 else "files"
            print(f"{len(files)} {split} {what} without rows skipped: {', '.join(files)}")


def _fail(program: str, sentence: str) -> None:
    print(f"{_name(program)}: error: {sentence}", file=sys.stderr)
    sys.exit(1)


def _name(program: str) -> str:
    """Returns the program's name, also where it runs as a module."""
    stem, extension = os.path.splitext(os.path.basename(program))
    return f"mptrec-{stem.replace('_', '-')}" if extension == ".py" else stem


def _quiet_libraries() -> None:
    """Hides the notes of TensorFlow's and Beam's Python code, but not their errors.

    See `native_messages` for those of their C++ code.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.filterwarnings("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for name in ("tensorflow", "absl", "root"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Beam logs an error with a traceback before it raises it.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    # While Python shuts down, TensorFlow's functions raise errors for modules that are gone.
    atexit.register(setattr, sys, "unraisablehook", lambda _: None)
