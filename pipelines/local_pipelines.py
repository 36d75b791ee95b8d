"""Runs the pipelines on this machine and prints their results."""

import dataclasses
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from components.example_gen.component import open_newest
from mptrec_tf.data.sources.block import Source, read_split
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.gate import make_rows
from mptrec_tf.evaluation.report import make_metric_tables, print_table
from mptrec_tf.export.versions import check_base_path, list_version_directories
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate, same_predictions
from mptrec_tf.models.registry import DEFAULT
from mptrec_tf.renewal.plan import Plan
from mptrec_tf.renewal.refresh import check_label_columns
from mptrec_tf.training.configurations import NewTaskConfig
from pipelines import add_task, pretrain, production, refresh
from pipelines.config import (
    ADD_TASK,
    EVALUATION_SPLIT,
    PRETRAIN,
    REFRESH,
    PipelineConfig,
    make_add_task_config,
    make_pretrain_config,
    make_refresh_config,
)
from pipelines.local_runner import make_run_rows, run
from pipelines.metadata import Metadata
from pipelines.results import RunResults, compute_trained_share

_QUERY_ROWS = 5


@dataclasses.dataclass
class LocalPipelines:
    """The pipelines on this machine, on one root.

    Attributes:
      config: The common part of their configurations.
      training: Fields of `TrainingConfig` that differ from the pipelines' defaults.
      head: The new task's head, see `NewTaskConfig`.
      model: The model to pre-train, a name in `MODELS`.

    Example:
      config = PipelineConfig(
          root="build/synthetic",
          serving_dir="build/synthetic/saved_models/mptrec",
          source=SourceConfig(dataset="synthetic"),
      )
      pipelines = LocalPipelines(config, training={"epochs": 5}, head="prompt")
      pipelines.pretrain(("click", "like"))
      results = pipelines.add_task("share")
      results.load_metrics("candidate")["share"]["auc"]
    """

    config: PipelineConfig
    training: Mapping[str, int] = dataclasses.field(default_factory=dict)
    head: str = NewTaskConfig.head
    model: str = DEFAULT

    def __post_init__(self) -> None:
        self._start = time.time()
        self._ran: list[str] = []
        self._tables: list[tuple[str, list[dict[str, Any]]]] = []

    def pretrain(
        self, tasks: Sequence[str], schema_file: str | None = None, may_drop_tasks: bool = False
    ) -> RunResults:
        """Runs the pre-training pipeline.

        Raises:
          InputError: if a component rejects its input, or the model was not pushed.
        """
        spec = self.config.source.make_spec()
        baseline = production.find_baseline(self.config.serving_dir, spec, tasks)
        compared = baseline.tasks if baseline else ()
        config = make_pretrain_config(
            self.config,
            tasks,
            self.training,
            self.model,
            schema_file=schema_file,
            may_drop_tasks=may_drop_tasks,
            production_model=baseline and baseline.model,
            production_tasks=compared,
        )
        try:
            return self._run(PRETRAIN, pretrain.create_pipeline(config), compared)
        finally:
            if baseline and baseline.not_compared:
                rows = [{"task": task, "why": why} for task, why in baseline.not_compared.items()]
                self._tables.append((f"{PRETRAIN}: not compared with production", rows))

    def add_task(self, task: str, base_model: str | None = None) -> RunResults:
        """Runs the pipeline that adds a task to the model in production.

        Raises:
          InputError: if there is nothing to add to, a component rejects its input, or the model
            was not pushed.
        """
        current = production.find(
            self.config.serving_dir, task, self.config.metadata_path, base_model
        )
        config = make_add_task_config(
            self.config,
            task,
            NewTaskConfig(self.head, training=self.training),
            base_model=current.base_model,
            production_model=current.model,
            production_tasks=current.tasks,
            schema=current.schema,
            statistics=current.statistics,
        )
        before = self._find_newest()
        results = self._run(ADD_TASK, add_task.create_pipeline(config), current.tasks)
        if before:
            self._check_bits(before, [name for name in current.tasks if name != task])
        self._tables.append(
            (
                "What was trained",
                compute_trained_share(results.artifact("PromptTuner", "model").uri),
            )
        )
        return results

    def refresh(
        self, plan: Plan, *, warm: bool = True, schema_file: str | None = None
    ) -> RunResults:
        """Runs the pipeline that renews the model in production.

        Args:
          plan: What is trained, see `mptrec_tf.renewal.plan.make_plan`.
          warm: Whether the new backbone begins with the weights of the old one.
          schema_file: Optional. A curated schema.

        Raises:
          InputError: if rows lack the labels of a task, a component rejects its input, or the model
            was not pushed.
        """
        spec = self.config.source.make_spec()
        baseline = production.find_baseline(self.config.serving_dir, spec, spec.task_names)
        check_label_columns(self._open())
        config = make_refresh_config(
            self.config,
            plan,
            production_model=baseline.model,
            production_tasks=baseline.tasks,
            warm=warm,
            schema_file=schema_file,
        )
        results = self._run(REFRESH, refresh.create_pipeline(config), baseline.tasks)
        last = refresh.list_trainings(plan)[-1]
        trained = compute_trained_share(results.artifact(last, "model").uri)
        self._tables.append(("What was trained", trained))
        if plan.retired:
            self._tables.append(("Retired", [{"task": name} for name in plan.retired]))
        return results

    def query(self) -> None:
        """Evaluates the newest version outside the pipelines, and predicts some rows with it."""
        model = LoadedModel(self._find_newest())
        metrics = evaluate(model, self._open(), EVALUATION_SPLIT, self._list_labelled(model))
        calibrated = {task["name"]: task["calibration"] for task in model.card["tasks"]}
        rows = [
            {"task": task, "calibrated_by": calibrated[task], **values}
            for task, values in metrics.items()
        ]
        kinds = {task.name: task.kind for task in model.spec.tasks}
        title = f"{model.path} on the {EVALUATION_SPLIT} rows"
        self._tables += make_metric_tables(rows, kinds, title)
        block = next(iter(read_split(self._open(), EVALUATION_SPLIT)))
        predictions = model.predict(block)
        rows = [
            {
                "row": row + 1,
                **{
                    task.name: task.show_prediction(predictions[task.name][row])
                    for task in model.spec.tasks
                },
            }
            for row in range(min(_QUERY_ROWS, len(block)))
        ]
        self._tables.append(
            (f"Predictions of {model.path} for the first {EVALUATION_SPLIT} rows", rows)
        )

    def print_tables(self) -> None:
        """Prints what was run, whether or not it succeeded."""
        if not self._ran:
            return
        metadata = Metadata(self.config.metadata_path)
        print()
        runs = [make_run_rows(metadata.read_last_run(name)) for name in self._ran]
        components = list(itertools.chain(*runs))
        print_table(components, "Components")
        cached = sum(row["state"] == "cached" for row in components)
        if cached:
            print(f"{cached} of {len(components)} were cached: their inputs did not change")
        for title, rows in self._tables:
            print_table(rows, title)
        print(
            f"in production: {self._find_newest() or 'nothing'}"
            f"   total: {time.time() - self._start:.0f} s"
        )

    def _run(self, name: str, pipeline: Pipeline, old: Sequence[str] = ()) -> RunResults:
        check_base_path(self.config.serving_dir)
        os.makedirs(self.config.root, exist_ok=True)
        self._ran.append(name)
        executions = run(pipeline, self.config.metadata_path)
        results = RunResults(Metadata(self.config.metadata_path), executions)
        tasks = self.config.source.make_spec().tasks
        rows = results.make_score_rows(tasks, self.config.thresholds, old)
        self._tables.append((f"{name}: {EVALUATION_SPLIT} rows", rows))
        compared = make_rows(results.load_comparison())
        if compared:
            self._tables.append((f"{name}: compared with production", compared))
        rejections = results.explain_rejection()
        if rejections:
            raise InputError(f"{name} pushed nothing: {'; '.join(rejections)}.")
        return results

    def _list_labelled(self, model: LoadedModel) -> list[str]:
        """Returns the tasks that the model predicts and the data have labels of."""
        known = self.config.source.make_spec().task_names
        return [task for task in model.spec.task_names if task in known]

    def _find_newest(self) -> str | None:
        found = list_version_directories(self.config.serving_dir)
        return found[max(found)] if found else None

    def _open(self) -> Source:
        return open_newest(self.config.source)

    def _check_bits(self, before: str, tasks: Sequence[str]) -> None:
        """Compares the served versions again, outside the pipeline."""
        after = self._find_newest()
        if after == before:
            print(f"{after} already is this model: nothing was pushed")
            return
        if not same_predictions(
            LoadedModel(before), LoadedModel(after), self._open(), EVALUATION_SPLIT, tasks
        ):
            raise InputError(
                f"{after} and {before} predict differently for an old task; do not serve {after}."
            )
        print(
            f"{', '.join(tasks)}: the predictions of {before} and {after} are the same to the last "
            f"bit on all {EVALUATION_SPLIT} rows"
        )
