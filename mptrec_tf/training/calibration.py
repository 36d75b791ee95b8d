"""Calibration: fits a trained model's predictions to the validation rows."""

from collections.abc import Sequence

from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.training.batches import Rows, evaluate_rows

# Scale and shift that leave a logit unchanged, bit for bit.
UNCHANGED = (1.0, 0.0)


def fit_calibration(
    model: TrainedModel, rows: Rows, tasks: Sequence[Task]
) -> list[tuple[float, float] | None]:
    """Returns scale and shift of each task's logits; None if its kind is not calibrated.

    Args:
      model: The trained model.
      rows: The validation rows.
      tasks: The tasks in the order of the model's report and of the labels.
    """
    report, labels, weight = evaluate_rows(model, rows)
    fitted = []
    for i, task in enumerate(tasks):
        of_task, *others = drop_unlabelled(labels[:, i], report["prediction"][:, i], weight)
        fitted.append(task.calibration(others[0], of_task, others[1]))
    return fitted
