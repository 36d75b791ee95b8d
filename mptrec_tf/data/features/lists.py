"""What features with several values in a row have in common: raw columns, ids, their description.

Values are ids like those of categorical features, in one table for all features of a kind. Missing
values inside a row are left out. A row without values has the id of the missing value, like a
missing category: an embedding that is learnt where training rows have no values, for zeros could
not tell "none" from an average of values, and the rows that have none are often those that differ
most.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.base import TEXTS, Feature
from mptrec_tf.data.features.categorical import MISSING_SHOWN, MOST_VALUES
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.list_values import Lists, ListSurvey
    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec

# A weight after the last colon of a value: 0.3, 12, 2.5e-4, 1.0E7; below 1e17, so that sums of
# squares are finite. For Python's `re` and for RE2.
WEIGHT = r"(?:[0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?:-[0-9]{1,2}|\+?0?[0-8]))?"
_WEIGHTED = re.compile(rf"(?s)(.*):\s*({WEIGHT})\s*")


@dataclasses.dataclass(frozen=True)
class ListFeature(Feature):
    """A feature with any number of values in a row, each an id.

    Attributes:
      name: str. The raw column: a text of values with a separator, or lists of texts or numbers.
      separator: str. What separates the values in a text.
      most: int. Only so many values count; the first ones, or the last if `counts_last`.
      min_count: int. Values seen fewer times in the training rows share the out-of-vocabulary id.
      hash_buckets: Optional int. Hash values into this many buckets instead of using a vocabulary.
      exact: bool. Use texts unchanged instead of their canonical form (see `canonicalize`).
    """

    reads = (TEXTS,)
    dtype = "int64"
    counts_last: ClassVar[bool] = False

    separator: str = "|"
    most: int = 20
    min_count: int = 1
    hash_buckets: int | None = None
    exact: bool = False

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        if not self.separator or "\x1f" in self.separator or "\n" in self.separator:
            yield f"{self.name!r}: the separator cannot be {self.separator!r}"
        for field in ("most", "min_count"):
            if getattr(self, field) < 1:
                yield f"{self.name!r}: {field} must be 1 or more, not {getattr(self, field)}"
        if self.hash_buckets is not None and self.hash_buckets < 1:
            yield f"{self.name!r}: hash_buckets must be 1 or more, not {self.hash_buckets}"
        if self.hash_buckets is not None and self.min_count != 1:
            yield f"{self.name!r}: give min_count or hash_buckets, not both"
        same = [of for of in spec.features if of.name == self.name and isinstance(of, ListFeature)]
        if len({(of.separator, of.has_weights) for of in same}) > 1:
            yield f"{self.name!r} has another separator, or weights, in another section"

    @property
    def has_weights(self) -> bool:
        """Whether each value ends in its weight."""
        return False

    @property
    def values_per_row(self) -> int | None:
        """Any number."""
        return None

    # Raw columns.

    def read_lists(self, block: "Block") -> "Lists":
        """Returns the values of n rows.

        Raises:
          InputError: for a missing column, a value that is no text or number, or one without a
            weight where each has one, with its place.
        """
        from mptrec_tf.data.list_values import read_lists

        lists = read_lists(block, self.name, self.separator)
        if self.has_weights:
            for i, value in enumerate(lists.values):
                if not _WEIGHTED.fullmatch(value):
                    raise InputError(
                        f"{block.where(lists.row_of(i))}, {self._explain_weight(value)}."
                    )
        return lists

    def _explain_weight(self, value: str) -> str:
        return (
            f"column {self.name!r}: {value!r} should be a value, a colon and its weight, a number "
            f"of 0 or more, as in a:0.3{self.separator}b:1"
        )

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the values of n rows as Arrow lists [n]."""
        del spec
        return self.read_lists(block).to_arrow()

    def read_request(self, spec: "DatasetSpec", block: "Block") -> np.ndarray:
        """Returns each row's values as one text, [n]."""
        del spec
        return self.read_lists(block).join()

    def unpack_request(self, column: "tf.Tensor") -> Any:
        """Returns the values [B, any number] of texts [B], as a SparseTensor."""
        from mptrec_tf.data.transform.list_graph import split_texts

        return split_texts(column, self.separator)

    def make_request(self, column: Any) -> np.ndarray:
        """Returns the texts [n] of a parsed SparseTensor."""
        from mptrec_tf.data.list_values import join_list

        rows: list[list[str]] = [[] for _ in range(int(column.dense_shape[0]))]
        for row, value in zip(column.indices.numpy()[:, 0], column.values.numpy(), strict=True):
            rows[row].append(value.decode())
        return np.array([join_list(row).encode() for row in rows], object)

    def bad_rows(self, spec: "DatasetSpec", block: "Block") -> Iterator[tuple[int, str]]:
        """Yields each row that `read` would reject, and what is wrong."""
        del spec
        for row in range(len(block)):
            try:
                self.read_lists(block.rows(np.array([row])))
            except InputError as error:
                reason = str(error).removeprefix(f"{block.where(row)}, ").rstrip(".")
                yield row, reason

    def survey_lists(self, spec: "DatasetSpec", block: "Block") -> "ListSurvey":
        """Counts values, rows without any, and rows with more than `most`."""
        from mptrec_tf.data.list_values import ListSurvey

        del spec
        lists = self.read_lists(block)
        values = lists.values
        if self.has_weights:
            values = np.array([_WEIGHTED.fullmatch(v)[1] for v in values] or [""], object)
            values = values[: len(lists.values)]
        counts = {"values": len(values), "cut": int(np.sum(lists.lengths > self.most))}
        return ListSurvey(values, int(np.sum(lists.lengths == 0)), counts)

    def counted_forms(self, values: "np.ndarray", missing_values: Sequence[str]) -> "np.ndarray":
        """Returns the texts under which a survey counts texts [n]; None for missing values."""
        if not self.exact:
            return super().counted_forms(values, missing_values)
        return np.where(values == "", None, values)

    # All features of a kind.

    @classmethod
    def vocabulary_file(cls) -> str:
        """Returns the name of the file of the vocabulary of all features of the kind."""
        return f"{cls.section}_vocabulary"

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["ListFeature"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids of all features."""
        del spec
        hashed = sum(f.hash_buckets for f in features if f.hash_buckets is not None)
        if all(f.hash_buckets is not None for f in features):
            return hashed
        return hashed + transform.vocabulary_size_by_name(cls.vocabulary_file())

    @property
    def has_unknown(self) -> bool:
        """Whether the feature's last id stands for all values without an id of their own."""
        return self.hash_buckets is None

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["ListFeature"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each feature."""
        del spec
        known = cls.vocabularies(features, transform)
        sizes = [(i, f.hash_buckets) for i, f in enumerate(features) if f.hash_buckets is not None]
        sizes += [(i, len(known[f.name])) for i, f in enumerate(features) if f.name in known]
        ranges, first = [], 0
        for column, size in sizes:
            ranges.append((column, first, size))
            first += size
        return sorted(ranges)

    @classmethod
    def missing_ids(
        cls, features: Sequence["ListFeature"], transform: "tft.TFTransformOutput"
    ) -> int:
        """Returns the number of features that have an id for none."""
        return sum(MISSING in of for of in cls.vocabularies(features, transform).values())

    @classmethod
    def vocabularies(
        cls, features: Sequence["ListFeature"], transform: "tft.TFTransformOutput"
    ) -> dict[str, list[str]]:
        """Returns the values of each feature that has a vocabulary."""
        from mptrec_tf.data.transform.vocabulary_file import read_vocabulary

        if all(f.hash_buckets is not None for f in features):
            return {}
        return read_vocabulary(transform, cls.vocabulary_file())

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["ListFeature"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns how a feature is read, and the number of buckets or the known values."""
        del spec
        known = cls.vocabularies(features, transform)
        domains = []
        for feature in features:
            domain: dict[str, Any] = {"separator": feature.separator, "most": feature.most}
            if feature.has_weights:
                domain["weights"] = True
            if feature.hash_buckets is not None:
                domain["hash_buckets"] = feature.hash_buckets
            else:
                values = known[feature.name][:-1]  # the last one stands for all others
                shown = [MISSING_SHOWN if v == MISSING else v for v in values[:MOST_VALUES]]
                domain |= {"known_values": len(values), "values": shown}
            domains.append(domain)
        return domains

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        weights = " with weights" if domain.get("weights") else ""
        known = f"{domain.get('known_values', 0):,} values known"
        if "hash_buckets" in domain:
            known = f"hashed to {domain['hash_buckets']:,}"
        return (
            f"any number of texts{weights}, separated by {domain['separator']!r}, of which the "
            f"{'last' if cls.counts_last else 'first'} {domain['most']} count; {known}"
        )

    @classmethod
    def warnings(
        cls, spec: "DatasetSpec", features: Sequence["ListFeature"], survey: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yields a sentence about features whose rows have more values than count."""
        del spec
        for feature in features:
            of = survey["columns"][feature.name]
            if of["cut"]:
                which = "last" if cls.counts_last else "first"
                yield (
                    f"column {feature.name!r}: {of['cut']:,} of {survey['rows']:,} training rows "
                    f"have more than {feature.most} values, of which the {which} {feature.most} "
                    "count; raise its `most` if the others matter."
                )
