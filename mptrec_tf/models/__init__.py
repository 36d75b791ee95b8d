"""Models: the backbone, its pre-training (stage 1), and new tasks on it (stage 2).

    mptrec, shared_bottom, single    models to pre-train: `MPTRec`, `SharedBottom`, `Single`
    registry                         `MODELS`, these by name
    shapes                           their shapes and loss weights, without TensorFlow
    multitask, trainer               base classes of a model of your own
    heads                            what is trained for a new task
    prompted                         `PromptedMPTRec`, a frozen model and its new tasks

Import classes from their modules: this package imports none, so that programs' flags, which read
`registry` and `shapes`, do not import TensorFlow.
"""

__all__ = [
    "encoded",
    "heads",
    "mptrec",
    "multitask",
    "prompted",
    "registry",
    "shapes",
    "shared_bottom",
    "single",
    "task_outputs",
    "trainer",
    "weights",
]
