"""What every feature is: a raw column, what the preprocessing graph makes of it, and its part of x.

A kind of feature is a subclass of `Feature` in a module of its own and a line in the registry:

    @dataclasses.dataclass(frozen=True)
    class Hour(Feature):
        section = "hours"
        reads = ("number",)
        dtype = "float32"
        ...

    FEATURES.register("hours", Hour)

Its fields are the keys that a spec gives it, and `section` is where a spec lists it and the name of
its packed tensor [B, n]. Everything else that handles features knows this interface alone. What is
computed is computed for all features of a kind at once. Modules of kinds import TensorFlow and
TensorFlow Transform inside the functions that need them.
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
# What else a spec, a packed batch and a survey have under a name.
_RESERVED = frozenset(
    "name features tasks user_id weight missing_values text_format example_types labels row hash "
    "delimiter escape header".split()
)


@dataclasses.dataclass(frozen=True)
class InputShape:
    """What a model is told of the features of one kind.

    Attributes:
      kind: str. The section, and so the packed tensor's name.
      columns: int. n, of the packed tensor [B, n].
      rows: int. Ids that the packed tensor may hold, from 0 on; 0 where it holds none.
    """

    kind: str
    columns: int
    rows: int = 0


@dataclasses.dataclass(frozen=True)
class Embedding:
    """What a model says of its embeddings.

    Attributes:
      width: int. Of one embedding.
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
      section: Where a spec lists such features, and the name of their packed tensor.
      reads: Types of raw columns that it can read, "text" or "number", the one that it wants first.
      dtype: Of the packed tensor, "int64" or "float32".
      always_listed: Whether `features_json` has the section where it is empty, too. Only kinds that
        were there before sections were free: stored fingerprints are made of it.

    Attributes:
      name: str. The raw column.
    """

    section: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    dtype: ClassVar[str] = "float32"
    always_listed: ClassVar[bool] = False

    name: str

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if getattr(cls, "section", None) in _RESERVED:
            raise ValueError(f"section should be a name of its own. Received: {cls.section!r}.")

    # One feature.

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields what is wrong with the feature's own fields, in sentences."""
        del spec
        yield from ()

    def raw_type(self, spec: "DatasetSpec") -> str:
        """Returns what its raw column holds, in files, tf.Examples and requests alike.

        Returns:
          "text" or "number". A column of several features has the one type that all of them read.
        """
        return spec.column_types[self.name]

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the raw column of n rows as Arrow lists [n], one value each.

        Raises:
          InputError: for a missing column or a value that is none, with its place.
        """
        import pyarrow as pa

        from mptrec_tf.data.arrow import encode_text, make_lists

        if self.raw_type(spec) == TEXT:
            return make_lists(encode_text(block.text(self.name)))
        return make_lists(pa.array(block.numbers(self.name)))

    def counted_form(self, value: str, missing_values: Sequence[str]) -> str | None:
        """Returns the text under which a survey counts a text value; None: it is missing."""
        form = _canonical(value)
        return None if is_missing(form, missing_values) else form

    @property
    def short_kind(self) -> str:
        """What it is, in a cell of a table."""
        return self.section

    @property
    def has_unknown(self) -> bool:
        """Whether the last of its ids stands for all values that have no id of their own."""
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
        """Packs raw columns; part of the preprocessing graph, where analyzers may be used.

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
        """Returns how many ids the packed tensor may hold; 0: it holds numbers."""
        del spec, features, transform
        return 0

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each column that has ids of its own."""
        del spec, features, transform
        return []

    @classmethod
    def missing_ids(cls, features: Sequence["Feature"], transform: "tft.TFTransformOutput") -> int:
        """Returns how many features have an id for a missing value."""
        del features, transform
        return 0

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Feature"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns what is known of each feature's values, as plain data for the model card."""
        del spec, transform
        return [{} for _ in features]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns what `domains` knows of a feature, for people."""
        del domain
        return "any text" if cls.reads[0] == TEXT else "any finite number"

    @classmethod
    def describe_count(cls, features: Sequence["Feature"], rows: int, missing_ids: int) -> str:
        """Returns how many features and ids of this kind there are, for people."""
        ids = f" with {rows - missing_ids:,} ids" if rows else ""
        missing = f" and {missing_ids} for missing values" if missing_ids else ""
        return f"{len(features)} {cls.section} features{ids}{missing}"

    @classmethod
    def warnings(
        cls, spec: "DatasetSpec", features: Sequence["Feature"], survey: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yields what is worth a sentence about the training rows.

        Args:
          spec: The data set.
          features: Its features of this kind.
          survey: `Survey.to_dict` of the training rows.
        """
        del spec, features, survey
        yield from ()

    # What models make of it.

    @classmethod
    def input_width(cls, shape: InputShape, embedding_width: int) -> int:
        """Returns how many numbers the kind adds to x."""
        return shape.columns * embedding_width if shape.rows else shape.columns

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer | None":
        """Returns the layer that makes [B, input_width] of the packed tensor [B, n].

        None: the packed tensor goes into x as it is. By default ids are looked up in one table,
        whose layer is named like the section.
        """
        if not shape.rows:
            return None
        from mptrec_tf.layers.embedding import PackedEmbedding

        return PackedEmbedding(
            shape.rows, embedding.width, embedding.l2, embedding.l2_over, name=shape.kind
        )
