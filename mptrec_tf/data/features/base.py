"""The interface of features: a raw column, its preprocessing, and its part of the model's input x.

A kind of feature is a subclass of `Feature` in its own module and a line in the registry. Its
fields are its keys in a spec; `section` is the spec's list of such features and the name of their
packed tensor [B, n]. All other code handles features through this interface. Computations are for
all features of a kind at once. Modules of kinds import TensorFlow and TensorFlow Transform inside
the functions that need them.
"""

import abc
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mptrec_tf.data.canonical import canonicalize, is_missing

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras

TEXT, NUMBER = "text", "number"
_canonical = functools.lru_cache(maxsize=1 << 17)(canonicalize)
# Names that specs, packed batches and surveys use for other things.
_RESERVED = frozenset(
    "name features tasks user_id weight missing_values text_format example_types labels row hash "
    "delimiter escape header".split()
)


@dataclasses.dataclass(frozen=True)
class InputShape:
    """Describes the features of one kind to a model.

    Attributes:
      kind: str. The section, which is also the packed tensor's name.
      columns: int. n, of the packed tensor [B, n].
      rows: int. Number of ids (from 0) in the packed tensor; 0: it holds no ids.
    """

    kind: str
    columns: int
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Embedding:
    """A model's settings for embeddings.

    Attributes:
      width: int. Width of one embedding.
      l2: float. Weight of the norm, see `PackedEmbedding`.
      l2_over: str. "table" or "batch".
    """

    width: int
    l2: float = 0.0
    l2_over: str = "table"


@dataclasses.dataclass(frozen=True)
class Feature(abc.ABC):
    """A feature: a raw column as one kind of input.

    Class attributes:
      section: The spec's list of such features, and the name of their packed tensor.
      reads: Types of raw columns that it can read, "text" or "number", the preferred one first.
      dtype: Type of the packed tensor, "int64" or "float32".
      always_listed: Whether `features_json` has the section even if it is empty. Only for the
        kinds that existed before sections were extensible: stored fingerprints depend on it.

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
          "text" or "number". The features of a column share the one type that all of them read.
        """
        return spec.column_types[self.name]

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the raw column of n rows as Arrow lists [n], one value each.

        Raises:
          InputError: for a missing column or an invalid value, with its place.
        """
        import pyarrow as pa

        from mptrec_tf.data.arrow import encode_text, make_lists

        if self.raw_type(spec) == TEXT:
            return make_lists(encode_text(block.text(self.name)))
        return make_lists(pa.array(block.numbers(self.name)))

    def counted_form(self, value: str, missing_values: Sequence[str]) -> str | None:
        """Returns the text under which a survey counts a text value; None if it is missing."""
        form = _canonical(value)
        return None if is_missing(form, missing_values) else form

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return self.section

    @property
    def has_unknown(self) -> bool:
        """Whether the feature's last id stands for all values without an id of their own."""
        return False

    # All features of a kind.

    @classmethod
    def columns(cls, features: Sequence["Feature"]) -> int:
        """Returns n, how many columns the packed tensor has."""
        return len(features)

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
          columns: All raw columns [B] by name, string or float32.

        Returns:
          [B, n] of `dtype`.
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
        return shape.columns * embedding_width if shape.rows else shape.columns

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer | None":
        """Returns the layer from the packed tensor [B, n] to [B, input_width].

        None: the packed tensor is a part of x unchanged. By default ids are looked up in one
        embedding table, whose layer is named after the section.
        """
        if not shape.rows:
            return None
        from mptrec_tf.layers.embedding import PackedEmbedding

        return PackedEmbedding(
            shape.rows, embedding.width, embedding.l2, embedding.l2_over, name=shape.kind
        )
