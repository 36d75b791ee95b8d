"""The pusher as a TFX component."""

import json
from collections.abc import Mapping
from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.pusher.executor import Executor


class PusherSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `Pusher`."""

    PARAMETERS = {  # noqa: RUF012 (TFX's way)
        "serving_dir": ExecutionParameter(type=str),
        "may_drop_tasks": ExecutionParameter(type=int),
        "renewal": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {  # noqa: RUF012
        "model": ChannelParameter(type=standard_artifacts.Model),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "frozen_tasks": ChannelParameter(type=standard_artifacts.ModelBlessing, optional=True),
        "serving": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "production": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)
    }


class Pusher(base_component.BaseComponent):
    """Pushes a model as the next version of TF Serving's base path, if all blessings accept it.

    TFX's own pusher takes two blessings, names versions by the time, and copies files into place.
    This one takes three, counts versions, and renames a staging directory, so that a server that
    polls never sees an incomplete version. A model that already is the newest version is not
    pushed again.

    Outputs:
      pushed_model: `PushedModel` with the properties of TFX's: `pushed` (0 or 1),
        `pushed_destination` and `pushed_version`; if it was not pushed, `rejected_by` names the
        blessings that are missing, and `lost_tasks` names the tasks that it would have dropped.

    Args:
      model: A Model artifact of these pipelines.
      serving_dir: TF Serving's base path of the model.
      blessings: Those that the push needs: `evaluation` of the Evaluator, `serving` of the serving
        check, and, where a task is added, `frozen_tasks` of the frozen-task validator.
      may_drop_tasks: Whether to push a model that lacks tasks of the newest version.
      production: The model that the candidate was compared with. Nothing is pushed if another one
        is in production now.
      renewal: Of a model that renews the one in production, what the version records about it
        (`mptrec_tf.renewal.plan.Plan.record`), beside the tasks that were accepted; tasks that were
        retired may be lacking.

    Example:
      pusher = Pusher(
          model=trainer.outputs["model"],
          serving_dir="saved_models/mptrec",
          blessings={
              "evaluation": evaluator.outputs["blessing"],
              "serving": check.outputs["blessing"],
          },
      )
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: BaseChannel,
        serving_dir: str,
        blessings: Mapping[str, BaseChannel],
        may_drop_tasks: bool = False,
        production: BaseChannel | None = None,
        renewal: Mapping[str, Any] | None = None,
    ):
        super().__init__(
            PusherSpec(
                model=model,
                serving_dir=serving_dir,
                may_drop_tasks=int(may_drop_tasks),
                renewal=None if renewal is None else json.dumps(renewal),
                **blessings,
                production=production,
                pushed_model=Channel(type=standard_artifacts.PushedModel),
            )
        )
