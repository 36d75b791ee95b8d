"""Seconds and memory of a command, with all processes that it starts."""

import contextlib
import os
import subprocess
import time
from typing import Any

_SECONDS = 0.25  # between two looks


def list_processes(root: int) -> list[int]:
    """Returns a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def read_resident(process: int) -> tuple[float, float]:
    """Returns the MB of a process that are in memory, and its share of them; 0 if it has ended."""
    sizes = {"Rss:": 0.0, "Pss:": 0.0}
    with contextlib.suppress(OSError), open(f"/proc/{process}/smaps_rollup") as file:
        for name, *of in map(str.split, file):
            if name in sizes:
                sizes[name] = int(of[0]) * 1024 / 1e6
    return sizes["Rss:"], sizes["Pss:"]


def measure(command: list[str]) -> dict[str, Any]:
    """Runs a command; returns its seconds, those of processors, and memory in MB."""
    begin, of_one, of_all = time.monotonic(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        resident = [read_resident(number) for number in list_processes(process.pid)]
        of_one = max(of_one, *(whole for whole, _ in resident))
        of_all = max(of_all, sum(share for _, share in resident))
        time.sleep(_SECONDS)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "seconds": time.monotonic() - begin,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "mb_of_one": of_one,
        "mb_of_all": of_all,
    }
