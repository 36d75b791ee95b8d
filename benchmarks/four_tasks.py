"""Four new tasks of Census-Income, beside income and marital, and their rows."""

import os
from collections.abc import Sequence

import numpy as np
from steps import Steps

OLD = ("income", "marital")
NEW = ("education", "weeks_worked", "tax_filer_stat", "capital_gains")


def prepare_rows(data_dir: str, tasks: Sequence[str], output: str):
    """Returns the prepared rows in `output`/data, without these tasks' columns as features."""
    from mptrec_tf.data.prepared import PreparedData

    if not os.path.exists(f"{output}/data"):
        Steps().run(
            "prepare",
            "prepare",
            dataset="census_income",
            data_dir=data_dir,
            tasks=",".join(tasks),
            output_dir=f"{output}/data",
        )
    return PreparedData(f"{output}/data")


def select_rows(rows: dict, task: str, share: float, seed: int) -> dict:
    """Returns the splits with one task's labels, and a share of the training rows."""
    import tensorflow as tf

    from mptrec_tf.data.packed import LABELS, ROW
    from mptrec_tf.training.batches import make_memory_rows

    column = NEW.index(task)
    selected = {}
    for split, part in rows.items():
        columns = {k: v for k, v in part.columns.items() if k != ROW}
        columns[LABELS] = columns[LABELS][:, column : column + 1]
        if split == "train":
            order = np.random.default_rng(seed).permutation(part.count)
            chosen = np.sort(order[: round(share * part.count)])
            columns = {k: tf.gather(v, chosen) for k, v in columns.items()}
        selected[split] = make_memory_rows(columns)
    return selected
