"""Runs the two pipelines on this machine and tells what they did."""

import dataclasses
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from components.data_gate.config import GateConfig
from components.evaluation.eval_config import Thresholds
from components.example_gen.source import SourceConfig
from components.prompt_tuner.config import PromptTunerConfig
from mptrec_tf.data.sources.block import Source, read_split
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.report import print_table
from mptrec_tf.export.versions import check_base_path, version_directories
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate, same_answers
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.new_task import AUTO, NewTaskConfig
from pipelines import add_task, pretrain, production
from pipelines.config import (
    ADD_TASK,
    EVALUATION_SPLIT,
    PRETRAIN,
    AddTaskConfig,
    PretrainConfig,
)
from pipelines.defaults import STAGE_1
from pipelines.local_runner import run, run_rows
from pipelines.metadata import Metadata
from pipelines.results import RunResults, trained_share

_QUERY_ROWS = 5


@dataclasses.dataclass
class WholeWay:
    """Both pipelines on one root: see the flags of `pipelines.local`."""

    root: str
    serving_dir: str
    source: SourceConfig
    least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    margin: float = 0.005
    max_drift: Mapping[str, float] = dataclasses.field(default_factory=dict)
    slices: Sequence[Sequence[str]] = ()
    beam_args: Sequence[str] = ()
    docker: bool = False
    training: Mapping[str, int] = dataclasses.field(default_factory=dict)
    head: str = AUTO

    def __post_init__(self) -> None:
        self._thresholds = Thresholds(self.least, margin=self.margin)
        self._start = time.time()
        self._ran: list[str] = []
        self._tables: list[tuple[str, list[dict[str, Any]]]] = []

    @property
    def metadata_path(self) -> str:
        """ML Metadata of both pipelines."""
        return f"{self.root}/metadata.sqlite"

    def pretrain(
        self, tasks: Sequence[str], schema_file: str | None = None, may_drop_tasks: bool = False
    ) -> RunResults:
        """Runs the pre-training pipeline.

        Raises:
          InputError: if a component refuses its input, or the model was not pushed.
        """
        config = PretrainConfig(
            **self._common(),
            trainer=PretrainingConfig(
                tasks=tuple(tasks),
                training=dataclasses.replace(STAGE_1, **self.training),
            ),
            schema_file=schema_file,
            may_drop_tasks=may_drop_tasks,
        )
        return self._run(PRETRAIN, pretrain.create_pipeline(config))

    def add_task(self, task: str, base_model: str | None = None) -> RunResults:
        """Runs the pipeline that adds a task to the model in production.

        Raises:
          InputError: if there is nothing to add to, a component refuses its input, or the model
            was not pushed.
        """
        now = production.find(self.serving_dir, task, self.metadata_path, base_model)
        config = AddTaskConfig(
            **self._common(),
            tuner=PromptTunerConfig(task, NewTaskConfig(self.head, training=self.training)),
            base_model=now.base_model,
            production_model=now.model,
            production_tasks=now.tasks,
            schema=now.schema,
            statistics=now.statistics,
        )
        before = self._newest()
        results = self._run(ADD_TASK, add_task.create_pipeline(config), now.tasks)
        if before:
            self._check_bits(before, [name for name in now.tasks if name != task])
        self._tables.append(
            ("What was trained", trained_share(results.artifact("PromptTuner", "model").uri))
        )
        return results

    def query(self) -> None:
        """Evaluates the newest version from outside, and asks it about some rows."""
        model = LoadedModel(self._newest())
        metrics = evaluate(model, self._open(), EVALUATION_SPLIT, self._labelled(model))
        rows = [{"task": task, **values} for task, values in metrics.items()]
        self._tables.append((f"{model.path} on the {EVALUATION_SPLIT} rows", rows))
        block = next(iter(read_split(self._open(), EVALUATION_SPLIT)))
        answers = model.predict(block)
        rows = [
            {"row": row + 1, **{task: float(answers[task][row]) for task in model.spec.task_names}}
            for row in range(min(_QUERY_ROWS, len(block)))
        ]
        self._tables.append((f"Answers of {model.path} to the first {EVALUATION_SPLIT} rows", rows))

    def print_tables(self) -> None:
        """Prints all that was done, whether or not it ended well."""
        if not self._ran:
            return
        metadata = Metadata(self.metadata_path)
        print()
        runs = [run_rows(metadata.last_run(name)) for name in self._ran]
        components = list(itertools.chain(*runs))
        print_table(components, "Components")
        cached = sum(row["state"] == "cached" for row in components)
        if cached:
            print(f"{cached} of {len(components)} were cached: what they read did not change")
        for title, rows in self._tables:
            print_table(rows, title)
        print(
            f"in production: {self._newest() or 'nothing'}"
            f"   all of it: {time.time() - self._start:.0f} s"
        )

    def _common(self) -> dict[str, Any]:
        return {
            "root": self.root,
            "serving_dir": self.serving_dir,
            "source": self.source,
            "gate": GateConfig(max_drift_of=self.max_drift),
            "thresholds": self._thresholds,
            "slices": self.slices,
            "beam_args": self.beam_args,
            "docker": self.docker,
        }

    def _run(self, name: str, pipeline: Pipeline, old: Sequence[str] = ()) -> RunResults:
        check_base_path(self.serving_dir)
        os.makedirs(self.root, exist_ok=True)
        self._ran.append(name)
        executions = run(pipeline, self.metadata_path)
        results = RunResults(Metadata(self.metadata_path), executions)
        tasks = self.source.make_spec().tasks
        rows = results.score_rows(tasks, self._thresholds, old)
        self._tables.append((f"{name}: {EVALUATION_SPLIT} rows", rows))
        refusals = results.refusals(rows, tasks)
        if refusals:
            raise InputError(f"{name} pushed nothing: {'; '.join(refusals)}.")
        return results

    def _labelled(self, model: LoadedModel) -> list[str]:
        """Tasks that the model answers and the data have labels of."""
        known = self.source.make_spec().task_names
        return [task for task in model.spec.task_names if task in known]

    def _newest(self) -> str | None:
        found = version_directories(self.serving_dir)
        return found[max(found)] if found else None

    def _open(self) -> Source:
        base, patterns = self.source.patterns()
        return self.source.open({split: f"{base}/{path}" for split, path in patterns.items()})

    def _check_bits(self, before: str, tasks: Sequence[str]) -> None:
        """Compares the served versions once more, from outside the pipeline."""
        after = self._newest()
        if after == before:
            print(f"{after} is this model already: nothing was pushed")
            return
        if not same_answers(
            LoadedModel(before), LoadedModel(after), self._open(), EVALUATION_SPLIT, tasks
        ):
            raise InputError(
                f"{after} answers other than {before} for an old task; do not serve it."
            )
        print(
            f"{', '.join(tasks)}: the answers of {before} and {after} are the same to the last bit "
            f"on all {EVALUATION_SPLIT} rows"
        )
