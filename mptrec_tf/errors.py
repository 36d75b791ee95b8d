"""The error that says what a user can mend."""


class InputError(ValueError):
    """Something a user gave is wrong: a flag, a file, a column, a value, a saved directory.

    The message is one sentence that names what, where (file, row, column), what was received
    and what to do. Programs print it without a traceback and exit with status 1.
    """
