"""Runs the serving check, reports, and blesses or not."""

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.blessing import bless
from components.report import write_report
from components.serving_check.check import check


class Executor(base_executor.BaseExecutor):
    """The serving check's executor; see `component.ServingCheck`."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:  # noqa: N802
        """Checks, and writes the report and the blessing."""
        model = artifact_utils.get_single_instance(input_dict["model"])
        problems = check(model.uri)
        write_report(
            artifact_utils.get_single_uri(output_dict["report"]),
            "Serving check: " + ("the model does not serve" if problems else "the model serves"),
            {"blessed": not problems, "problems": problems},
            {"Problems": [{"problem": problem} for problem in problems]},
        )
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        bless(blessing, model, not problems)
