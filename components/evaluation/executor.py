"""Evaluates a candidate, compares it with production, and blesses it or not."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.blessing import ACCEPTED, bless
from components.evaluation.config import EvaluatorConfig
from components.evaluation.measuring import BASELINE, CANDIDATE, Metrics, measure
from components.evaluation.rows import predict_rows
from components.evaluation.slicing import MOST_SLICES, show_slice
from components.evaluation.tfma_files import TfmaWriter
from components.model_artifact import serving_directory
from components.report import write_report
from mptrec_tf.data.raw_examples import read_description
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.evaluation.gate import Verdict, list_accepted, list_blocking
from mptrec_tf.inference.paired import compare_paired
from mptrec_tf.inference.saved_model import LoadedModel


class Executor(base_executor.BaseExecutor):
    """The Evaluator's executor; see `component.Evaluator`."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Evaluates, and writes the evaluation, the report and the blessing.

        Raises:
          InputError: if a model cannot be loaded or lacks a task, or there are no rows.
        """
        config = EvaluatorConfig.from_json(exec_properties["config"])
        examples = artifact_utils.get_single_uri(input_dict["examples"])
        model = artifact_utils.get_single_instance(input_dict["model"])
        models = {CANDIDATE: serving_directory(model.uri)}
        baseline = None
        if input_dict.get("baseline_model"):
            baseline = artifact_utils.get_single_instance(input_dict["baseline_model"])
            models[BASELINE] = serving_directory(baseline.uri)
        loaded = {name: LoadedModel(path) for name, path in models.items()}
        candidate, production = loaded[CANDIDATE], loaded.get(BASELINE)

        spec = read_description(examples)["spec"]
        config, notes = _leave_out_other_labels(config, spec, candidate.spec)
        tasks = {task.name: task for task in candidate.spec.select_tasks(config.tasks)}
        comparable = _list_comparable(tasks, production, config)
        rows = predict_rows(examples, config, candidate, production)
        metrics = measure(rows, tasks, comparable)
        below = _find_below(tasks, metrics[()][CANDIDATE], config)
        verdicts: list[Verdict] = []
        if production:
            slices = {show_slice(key): places for key, places in rows.slices.items()}
            verdicts = compare_paired(
                candidate.spec, production.spec, rows.columns, config.thresholds.gate, slices
            )
        blocking = list_blocking(verdicts, config.thresholds.accepted)

        writer = TfmaWriter(artifact_utils.get_single_uri(output_dict["evaluation"]), spec, config)
        writer.write_config(examples, models)
        writer.write_metrics(metrics)
        writer.write_validation(below, blocking, rows.slices)
        problems = [_explain_below(tasks[task], score, config) for task, score in below.items()]
        problems += [verdict.explain(config.thresholds.gate) for verdict in blocking]
        if rows.left_out:
            notes.append(
                f"{rows.left_out:,} slices with fewer rows than the {MOST_SLICES:,} largest of "
                "their kind are left out"
            )
        report = artifact_utils.get_single_uri(output_dict["report"])
        _write_report(report, problems, notes, verdicts, config)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        bless(blessing, model, not problems)
        accepted = list_accepted(verdicts, config.thresholds.accepted)
        blessing.set_string_custom_property(ACCEPTED, ",".join(accepted))
        if baseline:
            key = constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY
            blessing.set_string_custom_property(key, baseline.uri)
            key = constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY
            blessing.set_int_custom_property(key, baseline.id)


def _leave_out_other_labels(
    config: EvaluatorConfig, spec: DatasetSpec, of_model: DatasetSpec
) -> tuple[EvaluatorConfig, list[str]]:
    """Returns the configuration without tasks of which the rows have other labels, and why.

    Classes and levels may be those of the training rows. Of an old task, to whose model another one
    is added, these were others.
    """
    mine = {task.name: task for task in of_model.select_tasks(config.tasks)}
    others = [t.name for t in spec.select_tasks(config.tasks) if not mine[t.name].same_labels(t)]
    fit = dataclasses.replace(
        config,
        tasks=tuple(name for name in config.tasks if name not in others),
        compared=tuple(name for name in config.compared if name not in others),
    )
    return fit, [
        f"task {name!r} is not evaluated, as these rows have other labels than those that the "
        "model was trained on"
        for name in others
    ]


def _list_comparable(
    tasks: Mapping[str, Task], production: LoadedModel | None, config: EvaluatorConfig
) -> dict[str, Task]:
    """Returns production's tasks that have the same labels as the candidate's, by name."""
    if production is None:
        return {}
    return {
        old.name: old
        for old in production.spec.select_tasks(config.compared)
        if tasks[old.name].same_labels(old)
    }


def _find_below(
    tasks: Mapping[str, Task], metrics: Metrics, config: EvaluatorConfig
) -> dict[str, float]:
    """Returns the scores that are below their thresholds, or unknown, by task."""
    scores = {name: metrics[name].get(task.score_key, math.nan) for name, task in tasks.items()}
    return {
        name: score
        for name, score in scores.items()
        if not score >= config.thresholds.least_of(tasks[name])
    }


def _explain_below(task: Task, score: float, config: EvaluatorConfig) -> str:
    least = config.thresholds.least_of(task)
    if math.isnan(score):
        return (
            f"task {task.name!r} has no {task.score_name} on the {config.split} rows: its labels "
            "there are missing or all the same, or the model predicts no numbers"
        )
    return (
        f"task {task.name!r} has {task.score_name} {score:.4f}, below its threshold {least:.4f} by "
        f"{least - score:.4f}"
    )


def _write_report(
    uri: str,
    problems: Sequence[str],
    notes: Sequence[str],
    verdicts: Sequence[Verdict],
    config: EvaluatorConfig,
) -> None:
    write_report(
        uri,
        "Evaluation: " + ("the model is not blessed" if problems else "the model is blessed"),
        {
            "blessed": not problems,
            "problems": problems,
            "notes": notes,
            "gate": dataclasses.asdict(config.thresholds.gate),
            "accepted": config.thresholds.accepted,
            "comparison": [dataclasses.asdict(verdict) for verdict in verdicts],
        },
        {
            "Against it": [{"problem": problem} for problem in problems],
            "Compared with production": [verdict.to_row() for verdict in verdicts],
            "Notes": [{"note": note} for note in notes],
        },
    )
