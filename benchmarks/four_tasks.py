"""Four new tasks of Census-Income, beside income and marital; and one task's rows of them all."""

import numpy as np

OLD = ("income", "marital")
NEW = ("education", "weeks_worked", "tax_filer_stat", "capital_gains")


def rows_of_task(rows: dict, task: str, share: float, seed: int) -> dict:
    """Returns the splits with one task's labels, and a share of the training rows."""
    import tensorflow as tf

    from mptrec_tf.data.packed import LABELS, ROW
    from mptrec_tf.training.batches import rows_in_memory

    column = NEW.index(task)
    found = {}
    for split, part in rows.items():
        columns = {k: v for k, v in part.columns.items() if k != ROW}
        columns[LABELS] = columns[LABELS][:, column : column + 1]
        if split == "train":
            order = np.random.default_rng(seed).permutation(part.count)
            kept = np.sort(order[: round(share * part.count)])
            columns = {k: tf.gather(v, kept) for k, v in columns.items()}
        found[split] = rows_in_memory(columns)
    return found
