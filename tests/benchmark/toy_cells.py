"""Cells that take no time: a module of its own, since every process imports it."""

import dataclasses
import os
import signal

from mptrec_tf.benchmark.cells import Cell
from mptrec_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Toy(Cell):
    """Returns the sum of its own number and of those that it needs, or fails in some way."""

    kind = "toy"
    runs = "toy_cells:run"

    name: str
    number: int = 0
    ends: str = "well"
    after: tuple["Toy", ...] = ()

    @property
    def title(self):
        return f"toy {self.name}"

    @property
    def needs(self):
        return self.after


class Alone(Toy):
    exclusive = True


def run(cell, place):
    with open(f"{place.directory}/started", "a") as file:
        file.write(f"{cell.name}\n")
    if cell.ends == "mistake":
        raise InputError("column 'age' is missing")
    if cell.ends == "bug":
        raise ValueError("a bug")
    if cell.ends == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    total = cell.number + sum(place.read(needed)["total"] for needed in cell.after)
    return {"total": total, "scores": {"test": {"toy": total / 100}}}
