"""The labels of raw rows: which rows have one, and what it is."""

import abc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Block

REJECT, SKIP = MISSING = ("reject", "skip")


class RowLabels(abc.ABC):
    """The part of a `Task` that makes labels of raw rows; a kind changes what it has to."""

    @abc.abstractmethod
    def label_of(self, value: str, missing_values: Sequence[str]) -> float:
        """Returns the label of a raw value; NaN if it has none.

        Args:
          value: The raw value.
          missing_values: What counts as missing, see `DatasetSpec`.
        """

    def explain_no_label(self, value: str) -> str:
        """Returns why a value that is not missing has no label, and which values have one."""
        return f"{value!r} makes no label for task {self.name!r}"

    @property
    def is_partial(self) -> bool:
        """Whether some rows may have no label for this task."""
        return bool(self.where) or self.missing == SKIP

    def is_missing_label(self, value: str, missing_values: Sequence[str]) -> bool:
        """Whether a value of the label column counts as missing."""
        return is_missing(canonicalize(value), missing_values)

    def has_label(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns which rows of a block should have a label, [n] bool; see `where` and `missing`.

        Raises:
          InputError: if a column of `where` is not there.
        """
        has = np.ones(len(block), bool)
        for column, values in self.where.items():
            texts, codes = block.distinct(column)
            forms = np.array([canonicalize(text) for text in texts], str)
            has &= np.isin(forms, values)[codes]
        if self.missing == SKIP and self.label not in block.columns:
            return np.zeros(len(block), bool)
        if self.missing == SKIP:
            values, inverse = block.distinct(self.label)
            missing = [self.is_missing_label(value, missing_values) for value in values]
            has &= ~np.array(missing, bool)[inverse]
        return has

    @property
    def kept_share(self) -> float:
        """The share of those training rows that preparation keeps which it may leave out."""
        return 1.0

    def may_leave_out(self, labels: np.ndarray) -> np.ndarray:
        """Returns which training rows may be left out, [n] bool; see `kept_share`."""
        return np.zeros(len(labels), bool)

    def count_labelled(self, split: Mapping[str, Any]) -> int:
        """Returns how many rows of a split have a label, from its description or survey."""
        return split["tasks"][self.name].get("rows", split["rows"])

    def missing_remedy(self) -> str:
        """Returns what to do about a row without a label."""
        return (
            "leave such rows out, give the task `missing: skip`, or change missing_values in the "
            "spec"
        )

    def labels(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns the labels of rows.

        Args:
          block: n raw rows that hold the column `label`.
          missing_values: What counts as missing, see `DatasetSpec`.

        Returns:
          [n] float32; NaN in rows without a label, see `has_label`.

        Raises:
          InputError: for a value that is missing or has no label, with its place.
        """
        rows = np.flatnonzero(self.has_label(block, missing_values))
        labels = np.full(len(block), np.nan, np.float32)
        if not rows.size:
            return labels
        labelled = block if len(rows) == len(block) else block.rows(rows)
        values, inverse = labelled.distinct(self.label)
        of_values = [
            math.nan
            if self.is_missing_label(v, missing_values)
            else self.label_of(v, missing_values)
            for v in values
        ]
        labels[rows] = np.array(of_values)[inverse]
        bad = rows[np.isnan(labels[rows])]
        if bad.size:
            value = str(block.column(self.label)[bad[0]])
            where = f"{block.where(bad[0])}, column {self.label!r}"
            if self.is_missing_label(value, missing_values):
                raise InputError(
                    f"{where}: {value!r} is a missing value, and task {self.name!r} needs a label "
                    f"in every row; {self.missing_remedy()}."
                )
            raise InputError(f"{where}: {self.explain_no_label(value)}.")
        return labels

    def separating_features(
        self,
        bins: Iterable[tuple[str, np.ndarray, np.ndarray]],
        features: int,
        train: np.ndarray,
        validation: np.ndarray,
    ) -> Iterator[str]:
        """Yields sentences about features that reveal the label; none by default.

        Args:
          bins: Name, values [n] of the training rows and [m] of the validation rows of each
            feature, as small whole numbers.
          features: Number of features.
          train: [n]. Labels.
          validation: [m]. Labels.
        """
        del bins, features, train, validation
        yield from ()
