"""Models: the backbone, its pre-training (stage 1), and new tasks on it (stage 2).

    mptrec                   the paper's model; others, of a module each: `single`, `shared_bottom`,
                             `mmoe`, `ple`, `stem`, `aitm`, `sparse_sharing`, `csrec`
    registry                 `MODELS`, these by name
    shapes                   their shapes and loss weights, without TensorFlow
    multitask, trainer       base classes of a model of your own
    loss_weights             what each task's loss counts; `loss_balance` computes it
    task_outputs             losses and predictions of all tasks; `entire_space` of those that are
                             given another one, `monotone_maps` of calibrated ones
    heads                    what is trained for a new task
    prompted                 `PromptedMPTRec`, a frozen model and its new tasks

Import classes from their modules: this package imports none, so that programs' flags, which read
`registry` and `shapes`, do not import TensorFlow.
"""

__all__ = [
    "aitm",
    "csrec",
    "encoded",
    "entire_space",
    "heads",
    "loss_balance",
    "loss_weights",
    "mmoe",
    "monotone_maps",
    "mptrec",
    "multitask",
    "ple",
    "prompted",
    "registry",
    "shapes",
    "shared_bottom",
    "single",
    "sparse_sharing",
    "stem",
    "task_outputs",
    "towers",
    "trainer",
    "weights",
]
