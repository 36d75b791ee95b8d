"""Compares a candidate with the model in production on raw test rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mptrec_tf.data.sources.block import Source, read_split
from mptrec_tf.evaluation.gate import Gate, Verdict
from mptrec_tf.inference.paired import compare_paired
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import collect_columns


def judge(
    production: LoadedModel,
    candidate: LoadedModel,
    source: Source,
    gate: Gate,
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> list[Verdict]:
    """Compares a candidate with the model in production, on raw test rows.

    Args:
      production: The model in production.
      candidate: The other one.
      source: Raw rows; those of the split "test" are read.
      gate: What must not happen.
      on_rows: Called with the number of rows after each block.

    Returns:
      Verdicts on each task of both, in the candidate's order.

    Raises:
      InputError: for rows that do not fit a model.
    """
    common = [task for task in candidate.spec.tasks if task.name in production.spec.task_names]
    columns: dict[str, list[np.ndarray]] = {}
    for block in filter(len, read_split(source, "test")):
        of_block = collect_columns(candidate, common, block)
        predictions = production.predict(block)
        of_block |= {f"production/{task.name}": predictions[task.name] for task in common}
        for key, values in of_block.items():
            columns.setdefault(key, []).append(values)
        on_rows(len(block))
    joined = {key: np.concatenate(values) for key, values in columns.items()}
    return compare_paired(candidate.spec, production.spec, joined, gate)
