"""Results of a pipeline's run: metrics by task, rejections, and what was pushed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components import model_artifact
from components.evaluation.measuring import BASELINE, CANDIDATE
from components.evaluation.thresholds import Thresholds
from components.report import read_report
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.evaluation.gate import Verdict, list_blocked_tasks, list_blocking
from mptrec_tf.models.weights import count_parameters
from pipelines.metadata import Artifact, Execution, Metadata


class RunResults:
    """Results of the last run of a pipeline.

    Args:
      metadata: ML Metadata.
      executions: The run's executions by component.
    """

    def __init__(self, metadata: Metadata, executions: Mapping[str, Execution]):
        self._outputs = {node: metadata.read_outputs(e) for node, e in executions.items()}

    def artifact(self, node: str, output: str) -> Artifact:
        """Returns an output of a component."""
        [artifact] = self._outputs[node][output]
        return artifact

    @property
    def pushed(self) -> Artifact:
        """The pusher's output: properties `pushed`, `pushed_destination`, `pushed_version`."""
        return self.artifact("Pusher", "pushed_model")

    def load_metrics(self, model: str) -> dict[str, dict[str, float]]:
        """Returns the metrics of every task on all rows, for "candidate" or "baseline"."""
        uri = self.artifact("Evaluator", "evaluation").uri
        result = tfma.load_eval_result(uri, model_name=model)
        if model == CANDIDATE and not result.slicing_metrics:
            result = tfma.load_eval_result(uri, model_name="")  # its name where it is the only one
        outputs: Mapping[str, Any] = next(
            (values for key, values in result.slicing_metrics if not key), {}
        )
        return {
            task: {
                name: value["doubleValue"]
                for name, value in by_key[""].items()
                if "doubleValue" in value
            }
            for task, by_key in outputs.items()
            if by_key.get("")
        }

    def make_score_rows(
        self, tasks: Sequence[Task], thresholds: Thresholds, old: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Returns a row per task: its score, its threshold, and production before and after.

        Args:
          tasks: All tasks of the data.
          thresholds: What every task must reach.
          old: Tasks of the model in production before the run.
        """
        mine = self.load_metrics(CANDIDATE)
        theirs = self.load_metrics(BASELINE) if old else {}
        pushed = bool(self.pushed.properties["pushed"])
        rows = []
        known = {task.name: task for task in tasks}
        for name, metrics in mine.items():
            task = known[name]
            score = metrics.get(task.score_key, math.nan)
            before = theirs.get(name, {}).get(task.score_key, math.nan)
            rows.append(
                {
                    "task": name,
                    "measured_by": task.score_name,
                    "score": score,
                    "threshold": thresholds.least_of(task),
                    "production_before": before,
                    "production_after": score if pushed else before,
                }
            )
        return rows

    def load_comparison(self) -> list[Verdict]:
        """Returns the Evaluator's verdicts on tasks that production has, too; none without it."""
        comparison = read_report(self.artifact("Evaluator", "report").uri)["comparison"]
        return [
            Verdict(**{name: math.nan if v is None else v for name, v in of.items()})
            for of in comparison
        ]

    def explain_rejection(self) -> list[str]:
        """Returns why the model was not pushed, in sentences; none if it was."""
        properties = self.pushed.properties
        if properties["pushed"]:
            return []
        sentences = []
        rejected_by = properties["rejected_by"].split(",")
        for blessing, node in (
            ("evaluation", "Evaluator"),
            ("frozen_tasks", "FrozenTaskValidator"),
            ("serving", "ServingCheck"),
        ):
            if blessing in rejected_by and "report" in self._outputs.get(node, {}):
                uri = self.artifact(node, "report").uri
                report = read_report(uri)
                sentences += report["problems"]
                sentences.append(f"see {uri}/report.html")
                if blessing == "evaluation":
                    sentences += self._explain_accepting(report["accepted"])
            elif blessing in rejected_by:
                sentences.append("the model does not serve; see the log of InfraValidator")
        sentences += [properties["lost_tasks"]] if "lost_tasks" in properties else []
        return sentences

    def _explain_accepting(self, accepted: Sequence[str]) -> list[str]:
        blocking = list_blocking(self.load_comparison(), accepted)
        if not blocking:
            return []
        names = ",".join([*accepted, list_blocked_tasks(blocking)])
        return [f"to push in spite of the comparison with production: --accept={names}"]


def compute_trained_share(uri: str) -> list[dict[str, Any]]:
    """Returns a row per training of a model: parameters, and their share of joint training."""
    model = model_artifact.load(uri)
    backbone = model.backbone.model
    joint = backbone.joint_parameters()
    trainings = [(", ".join(backbone.shape.tasks), "pre-trained", backbone.parameters)]
    trainings += [(p.task.name, "added", p.head.trainable_weights) for p in model.packages]
    return [
        {
            "tasks": tasks,
            "kind": kind,
            "trained_parameters": count_parameters(weights),
            "share_of_joint_training": f"{count_parameters(weights) / joint:.1%}",
        }
        for tasks, kind, weights in trainings
    ]
