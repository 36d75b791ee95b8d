"""Compares the candidate with the model in production, reports, and blesses or not."""

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.blessing import bless
from components.frozen_task_validator.compare import compare
from components.report import write_report


class Executor(base_executor.BaseExecutor):
    """The frozen-task validator's executor; see `component.FrozenTaskValidator`."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Compares, and writes the report and the blessing."""
        model = artifact_utils.get_single_instance(input_dict["model"])
        comparison = compare(
            model.uri,
            artifact_utils.get_single_uri(input_dict["base_model"]),
            artifact_utils.get_single_uri(input_dict["examples"]),
            exec_properties["split"],
        )
        title = f"Tasks, compared bit for bit on {comparison.rows:,} rows"
        if comparison.release:
            title += f", with what this release exports: {comparison.release} exported production"
        summary = [{"task": task, "rows that differ": n} for task, n in comparison.counts.items()]
        write_report(
            artifact_utils.get_single_uri(output_dict["report"]),
            "Frozen tasks: " + ("something differs" if comparison.problems else "all as they were"),
            {
                "blessed": not comparison.problems,
                "problems": comparison.problems,
                "tasks": comparison.tasks,
                "rows": comparison.rows,
                "exported_by": comparison.release,
                "rows_that_differ": comparison.counts,
                "differing": comparison.differing,
            },
            {
                title: summary,
                "What differs": [{"problem": problem} for problem in comparison.problems],
                "Row by row": comparison.differing,
            },
        )
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        bless(blessing, model, not comparison.problems)
