"""The interface of features: a raw column, its preprocessing, and its part of the model's input x.

A kind of feature is a subclass of `Feature` in its own module and a line in the registry. Its
fields are its keys in a spec; `section` is the spec's list of such features and the name of their
packed tensor [B, n]. All other code handles features through this interface. Computations are for
all features of a kind at once. Modules of kinds import TensorFlow and TensorFlow Transform inside
the functions that need them.
"""

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mptrec_tf.data.features.input_shape import Embedding, InputShape, Table
from mptrec_tf.data.features.packed_tensors import PackedTensors

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.list_values import ListSurvey
    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras

TEXT, NUMBER = "text", "number"
# Raw columns whose rows hold several of them.
TEXTS, NUMBERS = "texts", "numbers"
# Names that specs, packed batches and surveys use for other things.
_RESERVED = frozenset(
    "name features tasks user_id weight missing_values text_format example_types labels row hash "
    "delimiter escape header".split()
)


@dataclasses.dataclass(frozen=True)
class Feature(PackedTensors, abc.ABC):
    """A feature: a raw column as one kind of input.

    What is stored of all features of a kind is in `PackedTensors`.

    Class attributes:
      section: The spec's list of such features, and the name of their packed tensor.
      reads: Types of raw columns that it can read, the preferred one first: "text" or "number",
        one in each row; "texts", any number of them; or "numbers", `values_per_row` of them.
      dtype: Type of the packed tensor, "int64" or "float32".
      always_listed: Whether `features_json` has the section even if it is empty. Only for the
        kinds that existed before sections were extensible: stored fingerprints depend on it.
      takes_shared: Whether `pack` also takes columns [1] of one value that all rows share, beside
        columns [B], and looks such a value up once; see `transform.shared_columns`.
      number_hint: The end of the message about a value that is not a number.

    Attributes:
      name: str. The raw column.

    Example:
      @dataclasses.dataclass(frozen=True)
      class Hour(Feature):
          section = "hours"
          reads = ("number",)

          @classmethod
          def pack(cls, spec, features, columns):
              hours = tf.stack([columns[f.name] for f in features], axis=1)
              return tf.sin(2 * math.pi * hours / 24)

      FEATURES.register("hours", Hour)
    """

    section: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    dtype: ClassVar[str] = "float32"
    always_listed: ClassVar[bool] = False
    takes_shared: ClassVar[bool] = False
    number_hint: ClassVar[str] = ""

    name: str

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if getattr(cls, "section", None) in _RESERVED:
            raise ValueError(f"section should not be a reserved name. Received: {cls.section!r}.")

    # One feature.

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        yield from ()

    def raw_type(self, spec: "DatasetSpec") -> str:
        """Returns the type of its raw column in files, tf.Examples and requests.

        Returns:
          One of `reads`. The features of a column share the one type that all of them read.
        """
        return spec.column_types[self.name]

    @property
    def values_per_row(self) -> int | None:
        """How many values its raw column holds in each row; None: any number, even none."""
        return 1

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the raw column of n rows as Arrow lists [n], `values_per_row` values each.

        Raises:
          InputError: for a missing column or an invalid value, with its place.
        """
        import pyarrow as pa

        from mptrec_tf.data.arrow import make_lists

        if self.raw_type(spec) == TEXT:
            return make_lists(block.encoded(self.name))
        return make_lists(
            pa.array(block.numbers(self.name, spec.missing_of(self.name), self.number_hint))
        )

    def sources(self) -> tuple["Feature", ...]:
        """Returns the features through which it reads its raw columns, by default itself alone.

        The name of each is a raw column, and so is the feature's own name by default.
        """
        return (self,)

    @property
    def takes_missing(self) -> bool:
        """Whether it takes NaN for a missing number; it does not by default.

        Missing text needs no permission: it is one of the spec's `missing_values`.
        """
        return False

    def read_request(self, spec: "DatasetSpec", block: "Block") -> "np.ndarray":
        """Returns the raw column of n rows as the signature `columns` takes it.

        Raises:
          InputError: as `read` does.
        """
        if self.raw_type(spec) == TEXT:
            block.check_single(self.name)
            return block.text(self.name)
        return block.numbers(self.name, spec.missing_of(self.name))

    def unpack_request(self, column: "tf.Tensor") -> Any:
        """Returns what the preprocessing graph takes, of what the signature `columns` takes."""
        return column

    def make_request(self, column: Any) -> "np.ndarray":
        """Returns a parsed raw column [n] as the signature `columns` takes it."""
        return column.numpy()

    def bad_rows(self, spec: "DatasetSpec", block: "Block") -> Iterator[tuple[int, str]]:
        """Yields each row whose raw value `read` would reject, and what is wrong."""
        if self.raw_type(spec) != NUMBER:
            return
        for row in block.not_numbers(self.name, spec.missing_of(self.name)):
            yield (
                int(row),
                f"column {self.name!r}: {str(block.column(self.name)[row])!r} is not a finite "
                "number",
            )

    def survey_lists(self, spec: "DatasetSpec", block: "Block") -> "ListSurvey":
        """Returns what a survey counts of a raw column with several values in a row."""
        raise NotImplementedError(f"{type(self).__name__} has one value in each row")

    def counted_forms(self, values: "np.ndarray", missing_values: Sequence[str]) -> "np.ndarray":
        """Returns the texts under which a survey counts texts, object arrays [n].

        Those of missing values are None.
        """
        from mptrec_tf.data.sources.text_columns import canonicalize_values

        return canonicalize_values(values, missing_values)

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return self.section

    @property
    def has_unknown(self) -> bool:
        """Whether the feature's last id stands for all values without an id of their own."""
        return False

    @property
    def unknown_ids(self) -> int:
        """How many of the feature's last ids stand for values without an id of their own."""
        return int(self.has_unknown)

    # All features of a kind.

    @classmethod
    def columns(cls, features: Sequence["Feature"]) -> int:
        """Returns n, how many columns the packed tensor has."""
        return len(features)

    @classmethod
    def sizes(cls, features: Sequence["Feature"]) -> tuple[int, ...]:
        """Returns numbers of features that the kind's layer needs to know, for its shape."""
        del features
        return ()

    @classmethod
    def column_features(cls, features: Sequence["Feature"]) -> "list[Feature]":
        """Returns the feature of each of the n columns; by default equally many, side by side."""
        count = cls.columns(features)
        return [features[column * len(features) // count] for column in range(count)]

    @classmethod
    @abc.abstractmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Packs raw columns in the preprocessing graph; may use TensorFlow Transform's analyzers.

        Args:
          spec: The data set.
          features: Its features of this kind.
          columns: All raw columns [B] by name, string or float32; where the kind `takes_shared`,
            some may be [1].

        Returns:
          [B, n] of `dtype`, or [1, n] of columns [1] alone; for a kind with `packed_parts` all
          packed tensors by name, those that vary as RaggedTensors.
        """

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids in the packed tensor; 0 if it holds numbers."""
        del spec, features, transform
        return 0

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each column that has its own ids."""
        del spec, features, transform
        return []

    @classmethod
    def vocabularies(
        cls, features: Sequence["Feature"], transform: "tft.TFTransformOutput"
    ) -> dict[str, list[str]]:
        """Returns the values of features that have a vocabulary, by name, in the order of the ids.

        The last one is empty: that of all values without an id of their own.
        """
        del features, transform
        return {}

    @classmethod
    def id_meanings(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[str, str | int]]:
        """Returns what each id stands for: the column, and the value that has the id.

        Ids without a value (buckets, values that the vocabulary does not hold) are numbered. What
        is equal in two graphs means the same.
        """
        meanings: list[tuple[str, str | int]] = [("", 0)] * cls.rows(spec, features, transform)
        known = cls.vocabularies(features, transform)
        of_columns = cls.column_features(features)
        # The later columns first: features that share ids have the meaning that the first gives.
        for column, first, count in reversed(cls.id_ranges(spec, features, transform)):
            name = of_columns[column].name
            number = sum(of is of_columns[column] for of in of_columns[:column])
            values = known.get(name, [""])[:-1]
            meant = [*values, *range(count - len(values))]
            meanings[first : first + count] = [(f"{name}\t{number}", value) for value in meant]
        return meanings

    @classmethod
    def tables(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> tuple[Table, ...]:
        """Returns the embedding tables, where features have widths of their own; else none."""
        del spec, features, transform
        return ()

    @classmethod
    def missing_ids(cls, features: Sequence["Feature"], transform: "tft.TFTransformOutput") -> int:
        """Returns the number of features that have an id for a missing value."""
        del features, transform
        return 0

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the known values of each feature, as plain data for the model card."""
        del spec, transform
        return [{} for _ in features]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        del domain
        return "any text" if cls.reads[0] == TEXT else "any finite number"

    @classmethod
    def describe_count(cls, features: Sequence["Feature"], rows: int, missing_ids: int) -> str:
        """Returns a readable count of the features and ids of this kind."""
        ids = f" with {rows - missing_ids:,} ids" if rows else ""
        missing = f" and {missing_ids} for missing values" if missing_ids else ""
        return f"{len(features)} {cls.section} features{ids}{missing}"

    @classmethod
    def warnings(
        cls, spec: "DatasetSpec", features: Sequence["Feature"], survey: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yields warnings about the training rows, a sentence each.

        Args:
          spec: The data set.
          features: Its features of this kind.
          survey: `Survey.to_dict` of the training rows.
        """
        del spec, features, survey
        yield from ()

    # In models.

    @classmethod
    def input_width(cls, shape: InputShape, embedding_width: int) -> int:
        """Returns the width of the kind's part of x."""
        if shape.tables:
            return sum(len(of.columns) * (of.width or embedding_width) for of in shape.tables)
        return shape.columns * embedding_width if shape.rows else shape.columns

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer | None":
        """Returns the layer from the packed tensor [B, n] to [B, input_width].

        None: the packed tensor is a part of x unchanged. By default ids are looked up in one
        embedding table, whose layer is named after the section.
        """
        return cls.id_layer(shape, embedding, shape.kind) if shape.rows else None

    @classmethod
    def id_layer(cls, shape: InputShape, embedding: Embedding, name: str) -> "keras.layers.Layer":
        """Returns the layer that embeds packed ids: one table, or one for each width."""
        from mptrec_tf.layers.embedding import PackedEmbedding
        from mptrec_tf.layers.embedding_tables import EmbeddingTables

        if shape.tables:
            return EmbeddingTables(
                shape.tables, embedding.width, embedding.l2, embedding.l2_over, name=name
            )
        return PackedEmbedding(
            shape.rows, embedding.width, embedding.l2, embedding.l2_over, name=name
        )
