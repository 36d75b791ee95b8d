"""Output files of programs, and standard output; they are checked before any work is done."""

from collections.abc import Mapping


def prepare(path: str, others: Mapping[str, str] | None = None) -> str:
    """Checks an output; if it is standard output, only the data go there from now on.

    All other output, also of libraries, then goes to standard error.

    Args:
      path: As for `directories.check_writable`.
      others: Paths that it must not be, each with what it is, for messages.

    Returns:
      The path to write to.

    Raises:
      InputError: if it cannot be written.
    """
    from mptrec_tf.storage.destinations import is_standard_output, reserve_standard_output
    from mptrec_tf.storage.directories import check_writable

    check_writable(path, others)
    return reserve_standard_output(path) if is_standard_output(path) else path
