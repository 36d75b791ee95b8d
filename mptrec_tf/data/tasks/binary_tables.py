"""How the labels of a binary task are counted, shown and warned about."""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.tasks.label_survey import LEFT_OUT, LabelSurvey, Surveys
from mptrec_tf.data.tasks.label_tables import SHOWN_VALUES, LabelTables

_FAR = 5  # standard deviations
_BECAME = {1: "positive", 0: "negative"}


class BinaryTables(LabelTables):
    """The part of a `BinaryTask` that counts and shows labels."""

    def survey(
        self, counted: Iterable[tuple[str, int]], missing_values: Sequence[str]
    ) -> LabelSurvey:
        """Returns positives and rows by value; for a threshold, by side of it."""
        survey = LabelSurvey()
        for value, rows in counted:
            label = self.label_of(value, missing_values)
            survey.sums["positives"] += rows * int(label)
            if self.above is None:
                survey.values[self.form(value), label] += rows
            else:
                survey.values["", label] += rows
                survey.widen(label, float(value), float(value))
        return survey

    def summary(self, survey: LabelSurvey) -> dict[str, float]:
        """Returns the number of positives."""
        return {"positives": int(survey.sums["positives"])}

    def summary_columns(self, summary: Mapping[str, float], rows: int) -> dict[str, float]:
        """Returns the number and share of positives, for a table."""
        return {"positives": summary["positives"], "share": summary["positives"] / rows}

    def explain_one_label(self, summary: Mapping[str, float], rows: int) -> str:
        """Returns the number of positives in words if it is none or all; else empty text."""
        positives = summary["positives"]
        return f"{positives} positives in {rows} rows" if positives in (0, rows) else ""

    def informative_rows(self, summary: Mapping[str, float], rows: int) -> int:
        """Returns the number of rows of the rarer class."""
        return min(summary["positives"], rows - summary["positives"])

    def count_informative(self, labels: np.ndarray) -> int:
        """Returns the number of rows of the rarer class."""
        positives = int(np.count_nonzero(labels))
        return min(positives, len(labels) - positives)

    def describe_value(self, value: str, label: float, survey: LabelSurvey) -> str:
        """Returns the value; for a threshold, the range of values on this side of it."""
        if self.above is None:
            return value
        low, high = survey.ranges[label]
        return f"{low:g} to {high:g}" if low < high else f"{low:g}"

    def label_counts(self, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
        """Returns rows by split for each (value, label), the most frequent first."""
        if self.above is None:
            return super().label_counts(surveys)
        # Ranges differ from split to split; the sides do not.
        sides = {
            split: {
                "labels": {
                    self.name: [
                        {**of, "value": f"{'above' if of['label'] else 'up to'} {self.above:g}"}
                        for of in survey["labels"][self.name]
                    ]
                }
            }
            for split, survey in surveys.items()
        }
        return super().label_counts(sides)

    def label_rows(self, surveys: Surveys) -> list[dict[str, Any]]:
        """Returns a table of raw values, their labels, and their rows by split."""
        shown = dict(list(self.label_counts(surveys).items())[:SHOWN_VALUES])
        table = [
            self.label_row(repr(v) if self.above is None else v, _BECAME[label], rows)
            for (v, label), rows in shown.items()
        ]
        for label in (1, 0):
            rest = {}
            for split, survey in surveys.items():
                positives = survey["tasks"][self.name]["positives"]
                total = positives if label else self.count_labelled(survey) - positives
                same = (rows for (_, other), rows in shown.items() if other == label)
                rest[split] = total - sum(rows.get(split, 0) for rows in same)
            if any(rest.values()):
                table.append(self.label_row("others", _BECAME[label], rest))
        return table

    def label_warnings(self, surveys: Surveys) -> Iterator[str]:
        """Yields warnings about splits of one class, and about values similar to a positive one."""
        for split, survey in surveys.items():
            rows = self.count_labelled(survey)
            positives = survey["tasks"][self.name]["positives"]
            if positives in (0, rows):
                what = "none" if not positives else "each"
                yield (
                    f"task {self.name!r}: {what} of the {rows:,} {split} rows is positive; check "
                    f"what column {self.label!r} holds and what counts as positive."
                )
        yield from self._check_kept(surveys)
        if self.above is not None or self.negative:
            return
        for (value, label), counts in self.label_counts(surveys).items():
            close = [p for p in self.positive if not label and _is_similar(value, p)]
            if close:
                yield (
                    f"task {self.name!r}: label {value!r} ({sum(counts.values()):,} rows) counts "
                    f"as negative, but is similar to {close[0]!r}, which is positive; list it "
                    "under positive, or under negative, in the spec."
                )

    def _check_kept(self, surveys: Surveys) -> Iterator[str]:
        for split, survey in surveys.items():
            of, share = survey["tasks"][self.name], self.kept_share
            if LEFT_OUT in of:
                kept = self.count_labelled(survey) - of["positives"]
                negatives = kept + of[LEFT_OUT]
                noise = math.sqrt(negatives * share * (1 - share))
                if abs(kept - share * negatives) > _FAR * noise:
                    yield (
                        f"task {self.name!r}: {kept:,} of {negatives:,} negative {split} rows were "
                        f"kept, which is not about {share:.3g} of them: many rows are equal, and "
                        "equal rows are kept or left out together; name a column that tells rows "
                        "apart as user_id, or as a feature."
                    )


def _is_similar(value: str, positive: str) -> bool:
    """Whether a value differs from a positive one only in case, punctuation or a letter."""
    plain, other = (re.sub(r"[\W_]+", "", text.casefold()) for text in (value, positive))
    if plain and plain == other:
        return True
    if re.sub(r"\d", "", plain) == re.sub(r"\d", "", other):  # numbered classes
        return False
    return difflib.SequenceMatcher(None, plain, other).ratio() >= 0.9
