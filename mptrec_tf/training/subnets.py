"""The subnets of Sparse-Sharing, found by iterative magnitude pruning.

Every task is trained alone, all at once and from the same initial weights, for `prune_rounds`
rounds of `prune_epochs` epochs. After each round the smallest `prune_share` of the expert's weights
that are left is removed from the task's mask, and all others go back to their initial values. The
mask of each task with the best score on the validation rows is kept; then the shared network is
trained on all tasks, from those initial weights, too (Sun et al., AAAI 2020, algorithm 1 and
section "Training Subnets", without the optional warm-up on all tasks).

Each round is a run with its own state, in a folder of the whole run's: a killed run continues in
the round where it was.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from mptrec_tf.layers.masks import prune_smallest
from mptrec_tf.models.shapes import ModelShape, SparseSharingLosses
from mptrec_tf.models.sparse_sharing import SparseSharing
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training import loop
from mptrec_tf.training.callbacks import SCORE_SUM
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.run_context import RunContext


def find_subnets(
    job: loop.Job,
    shape: ModelShape,
    losses: SparseSharingLosses,
    config: TrainingConfig,
    context: RunContext,
) -> loop.Job:
    """Returns the training of a model of these tasks that begins with the subnets it finds.

    Args:
      job: The training of the model as it is made.
      shape: The shape of the model.
      losses: How subnets are found.
      config: How the model is trained.
      context: The context of the model's training.

    Raises:
      InputError: as `loop.run` does.
    """
    loop.seed_everything(config.seed)
    start = {name: w.numpy() for name, w in SparseSharing(shape).named_weights().items()}
    short = dataclasses.replace(config, epochs=losses.prune_epochs, patience=losses.prune_epochs)
    masks = _masks_of(start)
    found: list[tuple[list[float], list[np.ndarray]]] = []
    for number in range(losses.prune_rounds):
        values = start | _name_masks(masks)
        of_round = dataclasses.replace(
            job,
            make_model=lambda values=values: Trainer(_make_copies(shape, values), job.tasks),
            settings={**job.settings, "subnets": number},
        )
        name = f"subnets_{number}"
        where = context.child(
            name,
            title=f"{context.title}, subnets {number + 1} of {losses.prune_rounds}",
            logs_directory=os.path.join(context.logs, name),
        )
        trainer, results = loop.run(of_round, short, where)
        best = results[SCORE_SUM].best
        found.append(([best[task.score_log] for task in job.tasks], masks))
        bank = trainer.backbone.experts
        masks = prune_smallest([k.numpy() for k in bank.kernels], masks, losses.prune_share)
    values = start | _name_masks(choose_masks(*zip(*found, strict=True)))
    # The same random numbers follow, whether the rounds were trained now or in an earlier process.
    loop.seed_everything(config.seed)
    return job.start_from(values)


def choose_masks(
    scores: Sequence[Sequence[float]], masks: Sequence[Sequence[np.ndarray]]
) -> list[np.ndarray]:
    """Returns for each layer the masks [K, in, out] of each task's best round.

    Args:
      scores: The tasks' scores, by round. Of rounds with the same score the last is taken.
      masks: [K, in, out] of each layer, by round.
    """
    by_round = np.array(scores)
    best = len(by_round) - 1 - np.argmax(by_round[::-1], axis=0)
    layers = range(len(masks[0]))
    return [np.stack([masks[r][layer][k] for k, r in enumerate(best)]) for layer in layers]


def _masks_of(values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    layers = sum(name.startswith("experts/mask_") for name in values)
    return [values[f"experts/mask_{i}"] for i in range(layers)]


def _name_masks(masks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"experts/mask_{i}": mask for i, mask in enumerate(masks)}


def _make_copies(shape: ModelShape, values: Mapping[str, np.ndarray]) -> SparseSharing:
    """Returns a model that has the embedding and the expert of `values` once for each task."""
    model = SparseSharing(shape, separate=True)
    trained = {id(weight) for weight in model.trainable_weights}
    masks = {id(mask) for mask in model.experts.masks}
    for name, weight in model.named_weights().items():
        if id(weight) in trained | masks:
            of_one = values[_name_of_one(name, values, len(shape.tasks))]
            times = np.array(weight.shape) // np.array(of_one.shape)
            weight.assign(np.tile(of_one, times))
    return model


def _name_of_one(name: str, values: Mapping[str, np.ndarray], copies: int) -> str:
    """Returns the name that a weight of all copies has in the network of which they are copies.

    A table of a width of its own is named after it, and is as many times as wide.
    """
    if name in values:
        return name
    layer, _, part = name.partition("/")
    stem, _, width = layer.rpartition("_")
    return f"{stem}_{int(width) // copies}/{part}"
