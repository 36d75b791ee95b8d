"""The pre-trainer: TFX's Trainer with stage 1 as its `run_fn`."""

import dataclasses

from tfx.proto import trainer_pb2
from tfx.types.channel import BaseChannel
from tfx.v1.components import Trainer

from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import PretrainingConfig


@dataclasses.dataclass(frozen=True)
class Renewed:
    """A model whose backbone is renewed.

    Attributes:
      model: The model.
      warm: Whether the new backbone begins with the weights of the old one.
    """

    model: BaseChannel
    warm: bool = True


class Pretrainer(Trainer):
    """Pre-trains a backbone on raw examples, which the preprocessing graph packs as they are read.

    Outputs:
      model: `Model`, laid out as `components.model_artifact` describes.
      model_run: TensorBoard's logs.

    Args:
      examples: Raw examples.
      transform_graph: The preprocessing graph, fitted on their training rows.
      schema: Of the raw examples; for the lineage.
      config: The hyper-parameters.
      state_dir: Directory of the state of unfinished trainings; a run that was killed continues
        from there.
      renews: Optional. The model whose backbone is renewed.
      strategy: Optional. How several replicas train, a name in `cluster.STRATEGIES`. Those of
        several processes need the `run_fn` in each of them, with TF_CONFIG, as Vertex AI starts
        the replicas of a training job.

    Example:
      trainer = Pretrainer(
          examples=example_gen.outputs["examples"],
          transform_graph=transform.outputs["transform_graph"],
          schema=schema_gen.outputs["schema"],
          config=PretrainingConfig(tasks=("click", "like")),
          state_dir="build/unfinished",
      )
    """

    def __init__(
        self,
        examples: BaseChannel,
        transform_graph: BaseChannel,
        schema: BaseChannel,
        config: PretrainingConfig,
        state_dir: str,
        renews: Renewed | None = None,
        strategy: str | None = None,
    ):
        begin = {} if renews is None else {"warm": renews.warm}
        shared = {} if strategy is None else {"strategy": strategy}
        super().__init__(
            run_fn="components.pretrainer.run_fn.run_fn",
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            base_model=renews and renews.model,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["validation"]),
            custom_config={"config": to_plain(config), "state_dir": state_dir, **begin, **shared},
        )
