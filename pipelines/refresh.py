"""The pipeline that renews the model in production: a new backbone, and every added task on it.

    RawExampleGen -> StatisticsGen -> SchemaGen (or a curated one) -> ExampleValidator -> DataGate
      -> Transform -> Pretrainer (from the old weights) -> PromptTuner, one for each added task
      -> Evaluator (against production), ServingCheck -> Pusher

Tasks and settings are those of the model in production, see `mptrec_tf.renewal.plan`. Each task
that was added has a component, so a run that was killed continues with the task that is next.
"""

from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.pretrainer.component import Pretrainer, Renewed
from components.prompt_tuner.component import PromptTuner
from components.prompt_tuner.config import PromptTunerConfig
from components.pusher.component import Pusher
from mptrec_tf.renewal.plan import Plan
from pipelines.config import REFRESH, RefreshConfig
from pipelines.shared_steps import (
    import_artifact,
    make_data_steps,
    make_evaluator,
    make_pipeline,
    make_serving_check,
)


def list_trainings(plan: Plan) -> list[str]:
    """Returns the ids of the components that train: the backbone, then each added task.

    The model of the last one has all tasks.
    """
    return ["Pretrainer", *(f"PromptTuner_{task}" for task in plan.heads)]


def create_pipeline(config: RefreshConfig) -> Pipeline:
    """Returns the pipeline that renews the model in production.

    Raises:
      InputError: for unknown thresholds or slices.

    Example:
      plan = make_plan("saved_models/shop")
      baseline = production.find_baseline("saved_models/shop", plan.spec, plan.spec.task_names)
      config = make_refresh_config(common, plan, production_model=baseline.model,
                                   production_tasks=baseline.tasks)
      run(create_pipeline(config), common.metadata_path)
    """
    plan = config.plan
    tasks = (*plan.pretraining.tasks, *plan.heads)
    production = import_artifact(
        "ProductionModel", config.production_model, standard_artifacts.Model
    )
    data = make_data_steps(config, tasks, config.schema_file)
    trainer = Pretrainer(
        examples=data.examples,
        transform_graph=data.transform_graph,
        schema=data.schema,
        config=plan.pretraining,
        state_dir=config.state_dir,
        renews=Renewed(production.outputs["result"], config.warm),
        strategy=config.strategy,
    )
    trainings = [trainer]
    for name, (task, how) in zip(list_trainings(plan)[1:], plan.heads.items(), strict=True):
        tuner = PromptTuner(
            examples=data.examples,
            base_model=trainings[-1].outputs["model"],
            config=PromptTunerConfig(task, how),
            state_dir=config.state_dir,
            renews=config.production_model if config.warm else None,
        )
        trainings.append(tuner.with_id(name))
    model = trainings[-1].outputs["model"]
    evaluator = make_evaluator(
        config, data.examples, model, tasks, production, config.production_tasks
    )
    check = make_serving_check(config, data.example_gen, model)
    pusher = Pusher(
        model=model,
        serving_dir=config.serving_dir,
        blessings={
            "evaluation": evaluator.outputs["blessing"],
            "serving": check.outputs["blessing"],
        },
        production=production.outputs["result"],
        renewal=plan.record(),
    )
    return make_pipeline(
        REFRESH,
        config,
        [*data.components, production, *trainings, evaluator, check, pusher],
    )
