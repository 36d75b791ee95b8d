r"""Prints the sizing table of docs/scale.md: what trains a data set of a size, and what that takes.

    python -m benchmarks.sizing
    python -m benchmarks.sizing --width=16 --features=30 --batch=8192 --memory_gb=64 --gbit=10

All is arithmetic, on one measured number: the rows that two cores train in a second, by
benchmarks/throughput.py (README.md, Speed). Nothing here was measured on several machines. With V
ids, width d, F ids in a row, B rows of a worker's step and P other weights, 4 bytes each:

    table          4 V d
    state          3 x table: Adam keeps two means of each weight
    Adam's pass    8 x table: read and write both means and the table, and read both means again;
                   in every step, with --l2_embedding_over=table. With "batch" only rows that were
                   read are changed, and XLA compiles no step: 8/9 of the rows in a second
    network        sent and received by one worker in a step
      multi_worker      2 (2 x 4 P + 4 P + W (4 F B d + 8 F B)): gradients of dense weights by ring,
                        the rows' gradients of all W workers; at most, as no id comes twice
      parameter_server  2 x 4 P + 3 (4 F B d + 8 F B): weights and gradients of P; rows down, their
                        gradients up, and ids with both
    step           B / (rows a second) + pass / (memory bandwidth), or the network's time if longer;
                   one process takes "table" where that is quicker, several always take "batch"
    hours          epochs x rows / (W B) x step / 3600
    coordinator    4 x table: the first values, the best epoch's, the model that is written, and
                   room for one that is saved
"""

import dataclasses
import math
from collections.abc import Sequence

from absl import app, flags

# README.md, Speed: two cores, one process, stage 1.
ROWS_A_SECOND = 52_000
# `mptrec_tf.training.loop.compile_model`: with XLA, an eighth more.
WITHOUT_XLA = 8 / 9
_WIDTH = flags.DEFINE_integer("width", 16, "Width of an embedding, d.", lower_bound=1)
_FEATURES = flags.DEFINE_integer("features", 30, "Ids of a row, F.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch", 8192, "Rows of a worker's step, B.", lower_bound=1)
_DENSE = flags.DEFINE_integer("dense", 1_000_000, "Weights outside of tables, P.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Epochs.", lower_bound=1)
_MEMORY = flags.DEFINE_float("memory_gb", 64.0, "Memory of a machine, in 10^9 bytes.")
_GBIT = flags.DEFINE_float("gbit", 10.0, "Network of a machine, in 10^9 bits a second.")
_BANDWIDTH = flags.DEFINE_float("bandwidth_gb", 20.0, "Memory bandwidth, in 10^9 bytes a second.")
_HOURS = flags.DEFINE_float("hours", 8.0, "Add machines until a training takes no longer.")
_MOST_WORKERS = 64

# (rows, ids)
SIZES = ((10**6, 10**4), (10**7, 10**6), (10**8, 10**6), (10**9, 10**7), (10**9, 10**8))
SIZES = (*SIZES, (10**9, 10**9))


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine of any role.

    Attributes:
      memory: Bytes.
      network: Bytes a second.
      bandwidth: Of its memory, bytes a second.
      rows: Rows that it trains in a second.
    """

    memory: float
    network: float
    bandwidth: float
    rows: float = ROWS_A_SECOND


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained; see the module's text for the letters."""

    rows: int
    ids: int
    width: int
    features: int
    batch: int
    dense: int
    epochs: int

    @property
    def table(self) -> int:
        """Bytes of all embedding tables."""
        return 4 * self.ids * self.width

    @property
    def state(self) -> int:
        """Bytes of the tables and of Adam's means."""
        return 3 * self.table

    @property
    def rows_of_step(self) -> int:
        """Bytes of the table's rows that a worker's step reads, with their ids."""
        return self.features * self.batch * (4 * self.width + 8)

    def network(self, strategy: str, workers: int) -> int:
        """Bytes that a worker sends and receives in a step."""
        if strategy == "parameter_server":
            return 8 * self.dense + 3 * self.rows_of_step
        if workers == 1:
            return 0
        return 2 * (12 * self.dense + workers * self.rows_of_step)

    def over(self, strategy: str, machine: Machine) -> str:
        """The quicker `--l2_embedding_over` of those that the strategy has."""
        table = self.batch / machine.rows + 8 * self.table / machine.bandwidth
        quicker = table < self.batch / (machine.rows * WITHOUT_XLA)
        return "table" if quicker and strategy == "one process" else "batch"

    def step(self, strategy: str, workers: int, machine: Machine) -> float:
        """Seconds of a step."""
        if self.over(strategy, machine) == "table":
            return self.batch / machine.rows + 8 * self.table / machine.bandwidth
        own = self.batch / (machine.rows * WITHOUT_XLA)
        return max(own, self.network(strategy, workers) / machine.network)

    def hours(self, strategy: str, workers: int, machine: Machine) -> float:
        """Hours of all epochs."""
        steps = self.epochs * self.rows / (workers * self.batch)
        return steps * self.step(strategy, workers, machine) / 3600


@dataclasses.dataclass(frozen=True)
class Plan:
    """The strategy for a training, with its machines."""

    training: Training
    strategy: str
    workers: int
    servers: int
    hours: float
    coordinator: float = 0.0

    @property
    def machines(self) -> int:
        """How many machines of all roles; the coordinator of servers is one."""
        return self.workers + self.servers + bool(self.servers)

    def limits(self, machine: Machine) -> str:
        """What breaks first when the training grows."""
        of = self.training
        if self.strategy == "parameter_server":
            if self.coordinator > machine.memory:
                return "the coordinator's memory: one large machine, or fewer or hashed ids"
            return "the servers' memory: more servers"
        if of.state > machine.memory / 4:
            return "memory of a machine: parameter_server"
        return "hours: more workers" if self.strategy == "multi_worker" else "hours: multi_worker"


def count_workers(
    training: Training, strategy: str, machine: Machine, hours: float
) -> tuple[int, float]:
    """Returns the fewest workers that end in time, or the most that make sense, and the hours."""
    for workers in range(1, _MOST_WORKERS + 1):
        takes = training.hours(strategy, workers, machine)
        if takes <= hours:
            break
    return workers, takes


def make_plan(training: Training, machine: Machine, hours: float) -> Plan:
    """Returns the strategy that ends in time with the fewest machines; else the quickest."""
    plans = []
    if training.state <= machine.memory / 2:
        alone = training.hours("one process", 1, machine)
        plans.append(Plan(training, "one process", 1, 0, alone))
        workers, takes = count_workers(training, "multi_worker", machine, hours)
        plans.append(Plan(training, "multi_worker", workers, 0, takes))
    workers, takes = count_workers(training, "parameter_server", machine, hours)
    servers = max(1, math.ceil(training.state / (machine.memory / 2)))
    # All that workers send goes through the servers' network, too.
    network = training.network("parameter_server", workers) * workers
    step = training.step("parameter_server", workers, machine)
    servers = max(servers, math.ceil(network / step / machine.network))
    plans.append(Plan(training, "parameter_server", workers, servers, takes, 4.0 * training.table))
    in_time = [plan for plan in plans if plan.hours <= hours]
    if in_time:
        return min(in_time, key=lambda plan: plan.machines)
    return min(plans, key=lambda plan: plan.hours)


def format_bytes(count: float) -> str:
    """Returns bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError


def main(_: Sequence[str]) -> None:
    """Prints the table, in Markdown."""
    machine = Machine(_MEMORY.value * 1e9, _GBIT.value * 1e9 / 8, _BANDWIDTH.value * 1e9)
    print("| rows | ids | table | state | by | workers | servers | network of a step | ", end="")
    print("l2_embedding_over | hours | breaks first: switch to |\n|" + "---|" * 11)
    for rows, ids in SIZES:
        fields = (_WIDTH.value, _FEATURES.value, _BATCH.value, _DENSE.value, _EPOCHS.value)
        training = Training(rows, ids, *fields)
        plan = make_plan(training, machine, _HOURS.value)
        cells = (
            f"{rows:.0e}".replace("e+0", "e"),
            f"{ids:.0e}".replace("e+0", "e"),
            format_bytes(training.table),
            format_bytes(training.state),
            plan.strategy,
            plan.workers,
            plan.servers or "-",
            format_bytes(training.network(plan.strategy, plan.workers)),
            training.over(plan.strategy, machine),
            f"{plan.hours:.2g}",
            plan.limits(machine),
        )
        print("| " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    app.run(main)
