"""Where and how a training runs; nothing here changes its results."""

import dataclasses
import os
from typing import Any

MEMORY_LIMIT = 4 << 30  # bytes of a split that are held in memory
LOGS = "logs"  # TensorBoard's, in the directory of a run


@dataclasses.dataclass(frozen=True)
class RunContext:
    """Where and how a training runs.

    Attributes:
      directory: str. Directory of the run's state, from which a killed run is resumed.
      title: str. Name of the training in progress lines.
      show_progress: bool. Whether to print progress.
      memory_limit: int. Bytes of a split, or of its representations, that are held in memory.
      fingerprint: str. Stage 2: names the frozen model, so that a run is only resumed on the same
        one.
      distribution: Optional `Distribution`; None: one process with one replica.
      logs_directory: str. TensorBoard's directory. Defaults to `logs` in the directory of the run.

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

    @property
    def logs(self) -> str:
        """Directory of TensorBoard's logs."""
        return self.logs_directory or os.path.join(self.directory, LOGS)

    def child(self, name: str, **changes) -> "RunContext":
        """Returns the context of a run whose state is in a folder of this run's directory."""
        directory = os.path.join(self.directory, name)
        return dataclasses.replace(self, directory=directory, **changes)
