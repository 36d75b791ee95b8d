"""The prompt tuner: TFX's Trainer with stage 2 as its `run_fn`, and a base model."""

from tfx.proto import trainer_pb2
from tfx.types.channel import BaseChannel
from tfx.v1.components import Trainer

from components.prompt_tuner.config import PromptTunerConfig
from mptrec_tf.storage.plain import to_plain


class PromptTuner(Trainer):
    """Adds a new task to a model, or replaces one that was added before.

    The examples are packed by the backbone's own preprocessing; no preprocessing is fitted again.
    Every other task of the base model stays in the new one.

    Outputs:
      model: `Model`, laid out as `components.model_artifact` describes.
      model_run: TensorBoard's logs.

    Args:
      examples: Raw examples with the new task's label.
      base_model: The model that the task joins.
      config: The hyper-parameters.
      state_dir: Directory of the state of unfinished trainings; a run that was killed continues
        from there.
      renews: Optional. The URI of the model that is renewed; the task's head begins with the
        weights that it had there, where its kind and shape are the same.

    Example:
      tuner = PromptTuner(
          examples=example_gen.outputs["examples"],
          base_model=base_model.outputs["result"],
          config=PromptTunerConfig("share", NewTaskConfig(head="prompt")),
          state_dir="build/unfinished",
      )
    """

    def __init__(
        self,
        examples: BaseChannel,
        base_model: BaseChannel,
        config: PromptTunerConfig,
        state_dir: str,
        renews: str | None = None,
    ):
        begin = {} if renews is None else {"renews": renews}
        super().__init__(
            run_fn="components.prompt_tuner.run_fn.run_fn",
            examples=examples,
            base_model=base_model,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["validation"]),
            custom_config={"config": to_plain(config), "state_dir": state_dir, **begin},
        )
