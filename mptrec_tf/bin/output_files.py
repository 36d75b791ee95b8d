"""Output files of programs: checked before any work is done for them; standard output is one."""

from collections.abc import Mapping


def prepare(path: str, others: Mapping[str, str] | None = None) -> str:
    """Checks an output; where it is standard output, nothing but the data go there from now on.

    What else is printed, also by libraries, then goes to standard error.

    Args:
      path: What `directories.check_writable` takes.
      others: What other paths are that it must not be, by path.

    Returns:
      The path to write to.

    Raises:
      InputError: if it cannot be written.
    """
    from mptrec_tf.storage.destinations import is_standard_output, take_standard_output
    from mptrec_tf.storage.directories import check_writable

    check_writable(path, others)
    return take_standard_output(path) if is_standard_output(path) else path
