"""The error for what a user can fix."""

from collections.abc import Iterable


class InputError(ValueError):
    """Something a user gave is wrong: a flag, a file, a column, a value, a saved directory.

    The message is one sentence that names what, where (file, row, column), what was received
    and what to do. Programs print it without a traceback and exit with status 1.
    """


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns the end of a sentence about an unknown name: the closest known one, or a full stop.

    Example:
      >>> did_you_mean("adma", ["adam", "sgd"])
      "; did you mean 'adam'?"
    """
    import difflib

    by_lower = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else "."
