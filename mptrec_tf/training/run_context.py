"""Where and how a training runs, and how much memory it may take."""

import dataclasses
import os
from typing import Any

GIGABYTE = 1_000_000_000
MEMORY_LIMIT = 4 * GIGABYTE  # bytes that a training process may take
# Of these for TensorFlow, programs, models, and the batches that are in work.
RESERVED = int(1.2 * GIGABYTE)
ROW_MEMORY = MEMORY_LIMIT - RESERVED
LOGS = "logs"  # TensorBoard's, in the directory of a run


@dataclasses.dataclass(frozen=True)
class RunContext:
    """Where and how a training runs.

    Attributes:
      directory: str. Directory of the run's state, from which a killed run is resumed.
      title: str. Name of the training in progress lines.
      show_progress: bool. Whether to print progress.
      memory_limit: int. Bytes that the process may take. Rows that do not fit are read from disk
        in each epoch; their batches are then shuffled within windows, not over all rows.
      fingerprint: str. Stage 2: names the frozen model, so that a run is only resumed on the same
        one.
      distribution: Optional `Distribution`; None: one process with one replica.
      logs_directory: str. TensorBoard's directory. Defaults to `logs` in the directory of the run.
      float16_on_disk: bool. Whether representations that do not fit in memory are rounded to 16
        bits: half the bytes to write, and to read in each epoch.

    Example:
      >>> RunContext("BACKBONE.training", title="pre-training").logs
      'BACKBONE.training/logs'
    """

    directory: str
    title: str = "training"
    show_progress: bool = True
    memory_limit: int = MEMORY_LIMIT
    fingerprint: str = ""
    logs_directory: str = ""
    distribution: Any = None
    float16_on_disk: bool = False

    @property
    def row_memory(self) -> int:
        """Bytes that are left for rows."""
        return max(self.memory_limit - RESERVED, 0)

    @property
    def logs(self) -> str:
        """Directory of TensorBoard's logs."""
        return self.logs_directory or os.path.join(self.directory, LOGS)

    def child(self, name: str, **changes) -> "RunContext":
        """Returns the context of a run whose state is in a folder of this run's directory."""
        directory = os.path.join(self.directory, name)
        return dataclasses.replace(self, directory=directory, **changes)
