r"""The memory that both stages of training take under a limit.

    python benchmarks/memory.py --rows=200000,2000000 --limits=2,4,8

Prepares synthetic rows, as `preparing.py` does, and with each limit pre-trains for one epoch and
adds a task, its head trained for one epoch. Prints the gigabytes that the limit is, and the most
that the process had in memory; its seconds are those of the whole program.
"""

import sys
import tempfile
from typing import Any

from absl import flags
from process_memory import measure

from mptrec_tf.bin import program

_ROWS = flags.DEFINE_list("rows", ["200000", "2000000"], "Numbers of training rows.")
_LIMITS = flags.DEFINE_list("limits", ["2", "4", "8"], "Gigabytes.")
_BATCH = flags.DEFINE_integer("batch_size", 4096, "Rows of a training step.")


def main(_: list[str]) -> None:
    """Runs the benchmark."""
    from mptrec_tf.evaluation.report import print_table

    table: list[dict[str, Any]] = []
    for rows in _ROWS.value:
        with tempfile.TemporaryDirectory() as directory:
            data, backbone = f"--data={directory}/data", f"{directory}/backbone"
            of_data = ["--dataset=synthetic", f"--rows={rows}", f"--output_dir={directory}/data"]
            measure(list_command("prepare", *of_data))
            for limit in _LIMITS.value:
                how = ["--epochs=1", f"--batch_size={_BATCH.value}", f"--memory_limit={limit}"]
                to = [f"{backbone}-{limit}", f"{directory}/task-{limit}"]
                commands = {
                    "pretrain": ["--tasks=click,like", f"--output_dir={to[0]}"],
                    "add_task": [
                        *("--task=share", "--head=residual"),
                        *(f"--backbone={to[0]}", f"--output_dir={to[1]}"),
                    ],
                }
                for name, of in commands.items():
                    measured = measure(list_command(name, data, *of, *how))
                    table.append(
                        {
                            "rows": f"{int(rows):,}",
                            "program": f"mptrec-{name.replace('_', '-')}",
                            "limit": float(limit),
                            "gigabytes": round(measured["mb_of_all"] / 1000, 2),
                            "seconds": round(measured["seconds"], 1),
                        }
                    )
                    print_table(table, "memory of training")


def list_command(name: str, *flags_of_it: str) -> list[str]:
    """Returns the command that starts a program."""
    return [sys.executable, "-m", f"mptrec_tf.bin.{name}", *flags_of_it]


if __name__ == "__main__":
    program.run(main)
