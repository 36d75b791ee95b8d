"""Training: input pipelines, pre-training (stage 1), prompt tuning (stage 2), and their state.

    pretraining       `pretrain`: stage 1
    new_task          `learn`: stage 2, which chooses a head
    prompt_tuning     `tune`: stage 2 of given heads
    reference         `compare`: a new task against joint training and a model of its own
    configurations    `PretrainingConfig`, `NewTaskConfig`, `TrainingConfig`, without TensorFlow
    run_context       `RunContext`: where and how a training runs

Import functions from their modules: this package imports none, so that programs' flags do not
import TensorFlow.
"""

__all__ = [
    "batches",
    "calibration",
    "callbacks",
    "configurations",
    "loop",
    "new_task",
    "pretraining",
    "prompt_tuning",
    "reference",
    "representations",
    "run_context",
    "statistics",
    "subnets",
]
