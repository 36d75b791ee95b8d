"""Sources whose rows are joined on Beam before they are read."""

from collections.abc import Callable
from typing import Any

from mptrec_tf.data.sources.block import Source
from mptrec_tf.storage.file_systems import get_file_system


def join_rows(
    source: Source, directory: str, make_pipeline: Callable[[], Any], counts: Any = None
) -> Source:
    """Returns a source whose rows are joined: itself, unless it has a method `join`.

    Args:
      source: Raw rows.
      directory: A directory, which is made if it is needed, for the joined rows; all workers can
        write it.
      make_pipeline: Makes the Beam pipeline that joins them.
      counts: Optional `RowCounts`. What counts the rows that are joined.

    Raises:
      InputError: for rows that cannot be joined.
    """
    if not hasattr(source, "join"):
        return source
    get_file_system(directory).makedirs(directory)
    return source.join(directory, make_pipeline, counts)
