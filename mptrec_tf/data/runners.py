"""Beam's runners: their flags, and the errors that they raise."""

import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners import create_runner

from mptrec_tf.errors import InputError

_STEP_NOTE = re.compile(r"\s*\[while running .*", re.DOTALL)

_MODE, _WORKERS = "--direct_running_mode", "--direct_num_workers"
# A worker imports TensorFlow first, and has to save what that takes by its share of the rows.
_ROWS_OF_WORKER = 1_500_000
_DASK = "mptrec_tf.data.dask.runner.DaskRunner"


def check_beam_args(beam_args: Sequence[str]) -> None:
    """Rejects flags that Beam or its runner would fail on or ignore.

    Raises:
      InputError: naming the flag.
    """
    options = PipelineOptions(list(beam_args))
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):  # argparse prints its message before it exits
            runner = options.view_as(StandardOptions).runner
            _check_runner(runner)  # which may bring flags of its own
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        message = stderr.getvalue().strip().rpartition("error: ")[2]
        raise InputError(
            f"Beam does not take the flags {' '.join(beam_args)}: {message}."
        ) from error
    # Other runners may pass a flag that Beam does not know to a job server that does.
    unknown = sorted(given.keys() - PipelineOptions([]).get_all_options().keys())
    if unknown and runner in (None, "DirectRunner", _DASK):
        raise InputError(f"unknown flag --{unknown[0]}: neither this program nor Beam has it.")


def _check_runner(runner: str | None) -> None:
    if runner and runner != _DASK and runner.lower().rpartition(".")[-1] in ("dask", "daskrunner"):
        # It would end well, and have written other rows.
        raise InputError(
            "Beam's own Dask runner loses what steps with several outputs emit; give "
            f"--runner={_DASK}."
        )
    try:
        create_runner(runner or "DirectRunner")
    except (ValueError, ImportError, AttributeError) as error:
        if runner == _DASK and isinstance(error, ImportError):
            raise InputError(
                f"--runner={runner} needs the package distributed: pip install 'mptrec-tf[dask]'."
            ) from error
        raise InputError(f"Beam cannot use --runner={runner}: {error}") from error


def use_all_cores(beam_args: Sequence[str], rows: int, shards: int) -> list[str]:
    """Returns Beam's flags with those that make its local runner use several processes.

    Beam's own default is one process, and one also if `--direct_num_workers` alone is given.

    Args:
      beam_args: Beam's flags. Those of another runner, or that say how many workers there are and
        what they are, stay as they are.
      rows: How many rows are read, as far as is known: for few, one process is faster.
      shards: How many parts of the rows there are, which cannot be divided further.
    """
    runner = PipelineOptions(list(beam_args)).view_as(StandardOptions).runner
    given = {arg.partition("=")[0] for arg in beam_args if arg.startswith("--direct_")}
    if runner not in (None, "DirectRunner") or _MODE in given:
        return list(beam_args)
    if _WORKERS in given:
        return [*beam_args, f"{_MODE}=multi_processing"]
    workers = min(len(os.sched_getaffinity(0)), shards, rows // _ROWS_OF_WORKER)
    if workers < 2:
        return list(beam_args)
    return [*beam_args, f"{_MODE}=multi_processing", f"{_WORKERS}={workers}"]


def find_user_error(error: BaseException) -> InputError | None:
    """Returns the input error in what a runner raised, without the runner's notes, if there is one.

    Beam adds the step's name to a worker's error, and other engines wrap it into a text.
    """
    if isinstance(error, InputError):
        return InputError(_STEP_NOTE.sub("", str(error)))
    match = re.search(r"InputError: (.*)", str(error))
    return InputError(_STEP_NOTE.sub("", match.group(1))) if match else None


@contextlib.contextmanager
def raise_user_errors() -> Iterator[None]:
    """Raises the input error alone, where a runner raises one in its own words.

    Raises:
      InputError: without the runner's notes.
    """
    try:
        yield
    except Exception as error:
        user_error = find_user_error(error)
        if user_error is None:
            raise
        raise user_error from error
