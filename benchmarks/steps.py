"""Runs the programs one after the other, as a user would."""

import subprocess
import sys
import time
from typing import Any

from mptrec_tf.errors import InputError


class Steps:
    """Runs programs one after the other and measures their times.

    Attributes:
      seconds: Seconds of each run, by its title.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, title: str, name: str, **arguments: Any) -> None:
        """Runs `mptrec_tf.bin.<name>` with flags; None leaves a flag out.

        Raises:
          InputError: if the program fails; it has printed the reason.
        """
        flags = [f"--{key}={value}" for key, value in arguments.items() if value is not None]
        print(f"\n=== {title}\n$ mptrec-{name.replace('_', '-')} {' '.join(flags)}", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", f"mptrec_tf.bin.{name}", *flags]
        # Not descriptor 2, which a program leaves to native code.
        done = subprocess.run(command, stderr=sys.stderr, check=False)
        if done.returncode:
            raise InputError(f"the pipeline stopped at: {title} (exit status {done.returncode}).")
        self.seconds[title] = time.monotonic() - start
