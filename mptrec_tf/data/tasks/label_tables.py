"""How a task's labels are counted, shown in tables, and warned about."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.tasks.label_survey import UNIT, LabelSurvey, Surveys, count_labels, to_exact

SHOWN_VALUES = 20  # most label values of a task in a table


class LabelTables:
    """The part of a `Task` that describes the labels of some rows; a kind changes what it has to.

    Uses `name`, `label`, `label_of` and `count_labelled` of the task.
    """

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns statistics of the labels of some rows.

        Args:
          counted: Distinct values of the column, and the number of rows with each.
          missing_values: What counts as missing, see `DatasetSpec`.
        """
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.values[canonicalize(value), label] += rows
            survey.sums["sum"] += rows * to_exact(label)
            survey.widen("label", label, label)
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns statistics of a split's labels for descriptions of data, numbers by name."""
        low, high = survey.ranges.get("label", (math.nan, math.nan))
        return {"sum": survey.sums["sum"] / UNIT, "lowest": low, "highest": high}

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns a split's row of a table of labels, by column.

        Args:
          summary: What `summary` returned.
          rows: Number of rows of the split.
        """
        return {"mean": summary["sum"] / rows, **{k: summary[k] for k in ("lowest", "highest")}}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Returns a description of a split's labels if all are the same; else empty text."""
        same = summary["lowest"] == summary["highest"]
        return f"all {rows} labels are {summary['lowest']:g}" if same else ""

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns the number of rows to learn from; of two classes, that of the rarer one."""
        del summary
        return rows

    def count_informative(self, labels: np.ndarray) -> int:
        """Returns `informative_rows` of labels [n], none of which is NaN."""
        return len(labels)

    def label_values(self, survey: LabelSurvey) -> list[dict[str, Any]]:
        """Returns raw values, their labels, and their numbers of rows, for a description file."""
        return [
            {"value": self.describe_value(value, label, survey), "label": _plain(label), "rows": n}
            for (value, label), n in survey.values.most_common()
        ]

    def describe_value(self, value: str, label: float, survey: LabelSurvey) -> str:
        """Returns the text of a counted value in a description file."""
        del label, survey
        return value

    def label_counts(self, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
        """Returns rows by split for each (value, label), the most frequent first.

        Args:
          surveys: `Survey.to_dict` by split.
        """
        return count_labels(self.name, surveys)

    def label_rows(self, surveys: Surveys) -> list[dict[str, Any]]:
        """Returns a table of raw values, their labels, and their rows by split."""
        counts = dict(list(self.label_counts(surveys).items())[:SHOWN_VALUES])
        table = [self.label_row(repr(v), f"{label:g}", n) for (v, label), n in counts.items()]
        rest = {
            split: self.count_labelled(of) - sum(rows.get(split, 0) for rows in counts.values())
            for split, of in surveys.items()
        }
        return [*table, self.label_row("others", "", rest)] if any(rest.values()) else table

    def label_row(self, value: str, became: str, rows: Mapping[str, int]) -> dict[str, Any]:
        """Returns a row of that table."""
        return {"task": self.name, "column": self.label, "value": value, "is": became, **rows}

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields warnings about the labels of some splits, a sentence each."""
        for split, survey in surveys.items():
            rows = self.count_labelled(survey)
            reason = self.explain_one_label(survey["tasks"][self.name], rows)
            if reason:
                yield (
                    f"task {self.name!r}: {reason} in the {split} rows; check what column "
                    f"{self.label!r} holds."
                )


def _plain(label: float) -> float | int:
    return int(label) if float(label).is_integer() else float(label)
