"""Flags that say what a candidate must not do to a task, see `evaluation.gate`."""

from absl import flags

from mptrec_tf.evaluation.gate import Gate

MARGIN = flags.DEFINE_float(
    "margin",
    Gate.margin,
    "By how much a task's score, and its AUC within users, may be below production's.",
    lower_bound=0.0,
)
CALIBRATION_MARGIN = flags.DEFINE_float(
    "calibration_margin",
    Gate.calibration_margin,
    "By how much the calibration error |log(mean prediction / mean label)| of a task that predicts "
    "probabilities may be above production's.",
    lower_bound=0.0,
)
CONFIDENCE = flags.DEFINE_float(
    "confidence",
    Gate.confidence,
    "A task is worse if it is so by more than the margin with this confidence.",
    lower_bound=0.5,
    upper_bound=0.9999,
)
LEAST_POSITIVES = flags.DEFINE_integer(
    "least_positives",
    Gate.least_positives,
    "Test rows that a verdict needs: of a binary task, of the rarer label. Calibration and AUC "
    "within users need as many users.",
    lower_bound=1,
)
ACCEPT = flags.DEFINE_list(
    "accept", [], "Tasks for which the candidate is pushed whatever the verdict; it is recorded."
)


def make_gate() -> Gate:
    """Returns the gate that the flags describe."""
    return Gate(MARGIN.value, CONFIDENCE.value, LEAST_POSITIVES.value, CALIBRATION_MARGIN.value)
