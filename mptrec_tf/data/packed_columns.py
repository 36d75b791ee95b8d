"""The columns of the packed tensors, one by one: whose they are, and which ids stand for unknown.

Statistics of what a model reads (`distributions`) are of these columns.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.spec import DatasetSpec

if TYPE_CHECKING:
    import tensorflow_transform as tft

# Of a feature with more numbers in a row, such as a vector, the length stands for all of them.
_MOST_NUMBERS = 8


@dataclasses.dataclass(frozen=True)
class PackedColumn:
    """A column of a packed tensor.

    Attributes:
      kind: str. The kind of its feature: a section of the spec.
      feature: str. The feature's name.
      number: int. Its place among the columns of the feature, from 0.
      places: Its places in the packed tensor; several of a vector, whose length is meant.
      first: int. Its first id.
      ids: int. How many ids it has; 0 for numbers.
      unknown: int. How many of the last ids stand for values that the vocabulary does not hold.
    """

    kind: str
    feature: str
    number: int
    places: tuple[int, ...]
    first: int = 0
    ids: int = 0
    unknown: int = 0

    @property
    def name(self) -> str:
        """A name that is unique among the columns of a data set, as "categorical/city"."""
        suffix = f"/{self.number + 1}" if self.number else ""
        return f"{self.kind}/{self.feature}{suffix}"

    def select(self, packed: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the column's values: [n], or of all rows where rows have any number of them.

        Args:
          packed: Packed arrays by name, see `to_arrays`.
        """
        if len(self.places) > 1:
            return np.linalg.norm(packed[self.kind][:, list(self.places)], axis=1)
        return FEATURES.get(self.kind).packed_values(packed, self.places[0])


def list_columns(spec: DatasetSpec, transform: "tft.TFTransformOutput") -> list[PackedColumn]:
    """Returns all columns of the packed tensors, in the order of the spec's kinds."""
    columns: list[PackedColumn] = []
    for kind, features in spec.by_kind().items():
        of_columns = kind.column_features(features)
        numbers = [sum(of is f for of in of_columns[:i]) for i, f in enumerate(of_columns)]
        if kind.rows(spec, features, transform):
            for place, first, count in sorted(kind.id_ranges(spec, features, transform)):
                of = of_columns[place]
                columns.append(
                    PackedColumn(
                        kind.section,
                        of.name,
                        numbers[place],
                        (place,),
                        first,
                        count,
                        of.unknown_ids,
                    )
                )
            continue
        for of in dict.fromkeys(of_columns):
            places = tuple(i for i, f in enumerate(of_columns) if f is of)
            groups = [places] if len(places) > _MOST_NUMBERS else [(place,) for place in places]
            columns += [
                PackedColumn(kind.section, of.name, number, group)
                for number, group in enumerate(groups)
            ]
    return columns


def to_arrays(packed: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns packed tensors as arrays; of ragged ones the values of all rows."""
    return {
        name: np.asarray(getattr(tensor, "flat_values", tensor)) for name, tensor in packed.items()
    }
