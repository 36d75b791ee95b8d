"""Where and how a training runs: what goes with it through all functions and changes no result."""

import dataclasses
import os

MEMORY_LIMIT = 4 << 30  # bytes of a split that are held in memory
LOGS = "logs"  # TensorBoard's, in the directory of a run


@dataclasses.dataclass(frozen=True)
class RunContext:
    """Where and how a training runs.

    Attributes:
      directory: str. Where the state of the run is saved; a run that was killed is continued.
      title: str. Which training it is, for the lines that say how far it is.
      show_progress: bool. Whether to say how far it is.
      memory_limit: int. Bytes of a split, or of its representations, that are held in memory.
      fingerprint: str. Stage 2: names the frozen model, so that a run is continued on the same one
        alone.
      logs_directory: str. Where TensorBoard's logs go, where not in the directory of the run.
    """

    directory: str
    title: str = "training"
    show_progress: bool = True
    memory_limit: int = MEMORY_LIMIT
    fingerprint: str = ""
    logs_directory: str = ""

    @property
    def logs(self) -> str:
        """Where TensorBoard's logs go."""
        return self.logs_directory or os.path.join(self.directory, LOGS)

    def child(self, name: str, **changes) -> "RunContext":
        """The context of a run whose state is saved in a folder of this one's."""
        directory = os.path.join(self.directory, name)
        return dataclasses.replace(self, directory=directory, **changes)
