"""A kind of head: its shape, how it is trained, and which models it fits. Plain data.

Imports no TensorFlow, as programs' flags take their choices and defaults from here. The layer and
the bank, which need it, are imported on use.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mptrec_tf.kinds import load
from mptrec_tf.settings import get_setting

if TYPE_CHECKING:
    from mptrec_tf.models.heads.base import Head

# (column, first id, number of ids) of a feature, see `IdWeights`.
IdRanges = tuple[tuple[int, int, int], ...]
PLAIN_BANK = "mptrec_tf.models.heads.base:PlainBank"


@dataclasses.dataclass(frozen=True)
class HeadKind:
    """A kind of head.

    Kinds that differ only in the fields of their shape share a layer and a bank. Kinds whose layers
    differ have shapes of different classes: the class of a shape identifies its layer.

    Attributes:
      shape: Dataclass of its shape. `settings.setting` defines the fields that --help shows.
      layer: The subclass of `Head`, or its "module:name".
      bank: The class that serves trained heads of one shape, or its "module:name", see `PlainBank`.
      reads: The head's inputs that not every model offers, see `ModelKind.offers`.
      most_ids: int. The shape's field `id_ranges` holds the data's features of at most so many
        ids; 0 for shapes without that field.
      table_ids: int. The shape's field `table_ranges` holds the data's features of so many ids or
        more, and `table_numbers` says how many numbers their table has; 0 for shapes without them.
      fields: Fields of the shape that this kind sets.
      recipe: The best fields of `TrainingConfig` for it, where they are not the defaults.
      least_labels: int. With fewer informative training rows (for a binary task, those of the
        rarer class) "auto" leaves it out.
      stand_in: bool. Whether "auto" tries it only where no other kind of head fits the model.
      candidate: bool. Whether "auto" tries it at all; not a head that is there to compare with.
      most_share: float. With `table_ids`: "auto" leaves it out where the table has more than this
        share of the parameters of joint training.
    """

    shape: type
    layer: "type[Head] | str"
    bank: type | str = PLAIN_BANK
    reads: frozenset[str] = frozenset()
    most_ids: int = 0
    table_ids: int = 0
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    least_labels: int = 0
    stand_in: bool = False
    candidate: bool = True
    most_share: float = 1.0

    def make_shape(self, id_ranges: IdRanges = (), **changes: Any) -> Any:
        """Returns the shape of such a head.

        Args:
          id_ranges: The id ranges of the model's features.
          **changes: Fields that differ from the kind's own; those that the shape does not have are
            ignored.
        """
        known = {field.name for field in dataclasses.fields(self.shape)}
        changes = {name: value for name, value in changes.items() if name in known}
        if self.most_ids:
            small = tuple(ids for ids in id_ranges if ids[2] <= self.most_ids)
            changes = {"id_ranges": small, **changes}
        if self.table_ids:
            large = tuple(ids for ids in id_ranges if ids[2] >= self.table_ids)
            changes = {"table_ranges": large, **changes}
        return self.shape(**{**self.fields, **changes})

    def fits(self, offers: Collection[str]) -> bool:
        """Whether a model offers all inputs of the head, see `ModelKind.offers`."""
        return self.reads <= frozenset(offers)

    def is_candidate(self, labels: int) -> bool:
        """Whether "auto" tries the head with so many informative training rows."""
        return self.candidate and labels >= self.least_labels

    def is_small_enough(self, shape: Any, joint_parameters: int) -> bool:
        """Whether "auto" tries such a head of a shape, given what joint training would train."""
        return not self.table_ids or shape.table_numbers <= self.most_share * joint_parameters

    @property
    def layer_class(self) -> "type[Head]":
        """The layer, imported."""
        return load(self.layer)

    @property
    def bank_class(self) -> type:
        """The bank, imported."""
        return load(self.bank)


def select_serving_fields(shape: Any) -> tuple[tuple[str, Any], ...]:
    """Returns the fields of a shape that decide how a prediction is computed."""
    return tuple(
        (field.name, getattr(shape, field.name))
        for field in dataclasses.fields(shape)
        if not get_setting(field).training_only
    )
