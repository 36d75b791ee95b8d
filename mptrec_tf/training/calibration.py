"""Calibration: what a model predicts after training is made to fit the validation rows."""

from collections.abc import Sequence

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.training.batches import Rows, evaluate_rows

# What leaves a logit as it is, bit for bit.
UNCHANGED = (1.0, 0.0)


def fit_calibration(
    model: TrainedModel, rows: Rows, tasks: Sequence[Task]
) -> list[tuple[float, float] | None]:
    """Returns scale and shift of each task's logits; None for what its kind leaves as it is.

    Args:
      model: What was trained.
      rows: The validation rows.
      tasks: The tasks in the order of the model's report and of the labels.
    """
    report, labels, weight = evaluate_rows(model, rows)
    return [
        task.calibration(predictions, one, weight)
        for task, predictions, one in zip(tasks, report["prediction"].T, labels.T, strict=True)
    ]
