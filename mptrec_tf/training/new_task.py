"""Chooses the head of a new task: trains candidates, and takes the smallest that is good enough.

The validation rows alone decide. No head is best for every task: with few labels an expert of its
own learns noise, with many it improves the predictions.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.labels import weights_of_task
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.tasks.slices import split_predictions
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.heads.registry import AUTO, HEADS, check_fits, list_candidates
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.weights import count_parameters
from mptrec_tf.training import loop
from mptrec_tf.training.baseline import describe_task
from mptrec_tf.training.batches import Rows, evaluate_rows
from mptrec_tf.training.configurations import NewTaskConfig, check_fields
from mptrec_tf.training.prompt_tuning import check_state, tune
from mptrec_tf.training.representations import encode_task
from mptrec_tf.training.run_context import RunContext

# A head is good enough if its score is below the best one's by at most so many standard errors.
_NOISE = 1.0


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A head that was trained for a new task.

    Attributes:
      kind: str. Its name in `HEADS`.
      head: The layer, with the weights of its best epoch.
      training: The configuration of its training.
      run: int. Number of its training run, from 1; heads with the same configuration share one.
      result: The results of the training.
      task: The task.
      score: float. On the validation rows, see `Task.score`.
      behind: float. The best candidate's score minus this one.
      noise: float. The standard error of that difference.
    """

    kind: str
    head: Head
    training: loop.TrainingConfig
    run: int
    result: loop.Training
    task: Task
    score: float
    behind: float = 0.0
    noise: float = 0.0

    @property
    def parameters(self) -> int:
        """Number of its trained parameters."""
        return count_parameters(self.head.trainable_weights)

    def row(self) -> dict[str, Any]:
        """Returns the candidate as a row of a table; `run_seconds` are those of its whole run."""
        return {
            "head": self.kind,
            "parameters": self.parameters,
            "run": self.run,
            "run_seconds": self.result.seconds,
            self.task.score_column: self.score,
            "behind_best": self.behind,
            "noise": self.noise,
        }


def choose_candidates(
    backbone: MultiTaskModel,
    data: TrainingData,
    task: str,
    shape: Mapping[str, Any] = types.MappingProxyType({}),
) -> tuple[str, ...]:
    """Returns the kinds of heads that "auto" tries.

    They depend on the model, on the number of labels, and on how large a head would be.

    Args:
      backbone: The model.
      data: Data with the new task's labels.
      task: Name of the new task.
      shape: Fields of the heads' shapes that differ from their defaults.
    """
    [known], train = data.spec.select_tasks([task]), data.splits["train"]
    informative = known.informative_rows(train["tasks"][task], known.count_labelled(train))
    kinds = list_candidates(MODELS.get(backbone.kind).offers, informative)
    shapes, joint = _make_shapes(kinds, backbone, data, shape), backbone.joint_parameters()
    return tuple(kind for kind in kinds if HEADS.get(kind).is_small_enough(shapes[kind], joint))


def learn(
    backbone: MultiTaskModel,
    data: TrainingData,
    task: str,
    config: NewTaskConfig,
    context: RunContext,
    encoded: tuple[Rows, Rows] | None = None,
    begin: Callable[[Head], None] | None = None,
) -> tuple[Candidate, list[Candidate]]:
    """Trains the candidates and chooses one.

    Args:
      backbone: A pre-trained backbone. It is frozen.
      data: Data with the new task's labels.
      task: Name of the new task.
      config: The heads to try, and their training.
      context: The directory of the runs' state, and the backbone's fingerprint.
      encoded: Optional. What `encode_task` returned, to encode rows only once for several calls.
      begin: Optional. Sets the weights that each fresh head begins with.

    Returns:
      The chosen head, and all candidates, the smallest first.

    Raises:
      InputError: for a kind of head that does not fit the model, and as `tune` does.

    Example:
      Adds a task to a stored backbone, and writes its package:

          backbone = load_backbone("BACKBONE")
          data = PreparedData("DATA")
          context = RunContext("PACKAGE.training", fingerprint=backbone.fingerprint)
          chosen, candidates = learn(backbone.model, data, "share", NewTaskConfig(), context)
          [task] = data.spec.select_tasks(["share"])
          save_trained_package(
              "PACKAGE",
              NewTask(task, chosen.head),
              backbone,
              data,
              {"training": to_plain(chosen.training)},
              chosen.result,
              context.directory,
          )
    """
    if config.head == AUTO:
        kinds = choose_candidates(backbone, data, task, config.shape)
    else:
        kinds = (config.head,)
    check_fits(kinds, MODELS.get(backbone.kind).offers, backbone.kind)
    shapes = _make_shapes(kinds, backbone, data, config.shape)
    # Heads with the same training configuration are trained in the same steps.
    together: dict[loop.TrainingConfig, dict[str, Any]] = {}
    for kind in kinds:
        training = config.whole_training(kind)
        together.setdefault(training, {})[kind] = shapes[kind]
    context = dataclasses.replace(context, title=task, logs_directory=context.logs)
    runs = dict.fromkeys(together, context)
    if len(together) > 1:
        runs = {
            training: context.child(
                next(iter(heads)), title=f"{task}, run {number} of {len(together)}"
            )
            for number, (training, heads) in enumerate(together.items(), 1)
        }
    for training, heads in together.items():
        check_state(data, task, heads, training, runs[training])
    if encoded is None:
        encoded = encode_task(PromptedMPTRec(backbone), data, [task], context)
    trained = []
    for number, (training, heads) in enumerate(together.items(), 1):
        model = PromptedMPTRec(backbone, begin=begin)
        results = tune(model, data, task, heads, training, runs[training], encoded)
        trained += [
            (kind, head, training, number, result) for kind, (head, result) in results.items()
        ]
    [kind_of_task] = data.spec.select_tasks([task])
    return _choose(backbone, kind_of_task, encoded[1], trained)


def _make_shapes(
    kinds: Sequence[str], backbone: MultiTaskModel, data: TrainingData, changes: Mapping[str, Any]
) -> dict[str, Any]:
    ranges = ()
    if backbone.layout.ids:
        transform = open_transform(data.transform_dir)
        ranges = tuple(get_id_ranges(data.spec, transform))
    check_fields(kinds, changes)
    return {kind: HEADS.get(kind).make_shape(ranges, **changes) for kind in kinds}


def _choose(
    backbone: MultiTaskModel,
    task: Task,
    validation: Rows,
    trained: Sequence[tuple[str, Head, loop.TrainingConfig, int, loop.Training]],
) -> tuple[Candidate, list[Candidate]]:
    heads = {kind: head for kind, head, *_ in trained}
    predicted, labels, weight = predict_heads(backbone, task, heads, validation)
    labels, weight, *of_heads = drop_unlabelled(labels, weight, *predicted.values())
    predicted = dict(zip(predicted, of_heads, strict=True))
    scores = {kind: task.score(labels, predicted[kind], weight) for kind in heads}
    best = max(scores, key=scores.get)
    candidates = []
    for kind, head, training, run, result in trained:
        _, noise = task.score_difference(labels, predicted[best], predicted[kind], weight)
        score = scores[kind]
        behind = scores[best] - score
        candidates.append(Candidate(kind, head, training, run, result, task, score, behind, noise))
    candidates.sort(key=lambda candidate: candidate.parameters)
    place = next(i for i, c in enumerate(candidates) if c.behind <= _NOISE * c.noise)
    chosen = candidates[place]
    candidates[place] = chosen = dataclasses.replace(
        chosen, result=_add_baseline(backbone, chosen, validation)
    )
    return chosen, candidates


def _add_baseline(backbone: MultiTaskModel, chosen: Candidate, validation: Rows) -> loop.Training:
    """Returns the results of the chosen head's training, with what it predicts as it is served."""
    [task] = chosen.result.complete([chosen.task])
    predicted, labels, _ = predict_heads(backbone, task, {chosen.kind: chosen.head}, validation)
    of_task = describe_task(task, labels, predicted[chosen.kind])
    return dataclasses.replace(chosen.result, baseline={"tasks": {task.name: of_task}})


def predict_heads(
    backbone: MultiTaskModel, task: Task, heads: Mapping[str, Head], rows: Rows
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Returns the predictions of one task's heads for rows, encoded or not, and the rows' labels.

    Returns:
      Predictions by the names of `heads` ([n], or [n, outputs] if they have several numbers),
      labels [n], and weights [n] if there are any.
    """
    # A head may have the name of one of the backbone's tasks.
    new = {f"{name}/": NewTask(task, head) for name, head in heads.items()}
    model = PromptedMPTRec(backbone, new)
    report, labels, weight = evaluate_rows(model, rows)
    of_heads = split_predictions([task] * len(heads), report["prediction"])
    by_name = dict(zip(heads, of_heads, strict=True))
    return by_name, labels[:, 0], weights_of_task(weight, 0)
