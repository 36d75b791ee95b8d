"""The pre-trainer: TFX's Trainer with stage 1 as its `run_fn`."""

from tfx.proto import trainer_pb2
from tfx.types.channel import BaseChannel
from tfx.v1.components import Trainer

from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import PretrainingConfig


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
      base_model: Optional. The model whose backbone is renewed.
      warm: Whether to begin with the weights of that backbone.
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
        base_model: BaseChannel | None = None,
        warm: bool = True,
        strategy: str | None = None,
    ):
        begin = {} if base_model is None else {"warm": warm}
        shared = {} if strategy is None else {"strategy": strategy}
        super().__init__(
            run_fn="components.pretrainer.run_fn.run_fn",
            examples=examples,
            transform_graph=transform_graph,
            schema=schema,
            base_model=base_model,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["validation"]),
            custom_config={"config": to_plain(config), "state_dir": state_dir, **begin, **shared},
        )
