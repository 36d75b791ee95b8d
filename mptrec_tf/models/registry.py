"""The models that can be pre-trained, by name."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mptrec_tf.kinds import Registry, load
from mptrec_tf.models.shapes import ModelShape, MPTRecLosses, MPTRecShape, PlainLosses
from mptrec_tf.storage.plain import from_plain

if TYPE_CHECKING:
    from mptrec_tf.models.multitask import MultiTaskModel
    from mptrec_tf.models.trainer import Trainer

DEFAULT = "mptrec"
_TRAINER = "mptrec_tf.models.trainer:Trainer"


@dataclasses.dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    Attributes:
      model: The subclass of `MultiTaskModel`, or its "module:name", which is imported (and
        TensorFlow with it) when it is needed.
      shape: Dataclass of its shape, `ModelShape` or a subclass. Imports no TensorFlow.
      losses: Dataclass of its loss weights. Imports no TensorFlow.
      trainer: The subclass of `Trainer` that pre-trains it, or its "module:name".
      offers: What heads of new tasks can read of it: "shared", "specific", "prompts".

    Example:
      >>> from mptrec_tf.data.features.base import InputShape
      >>> kind = MODELS.get("shared_bottom")
      >>> model = kind.make(kind.shape(("click",), (InputShape("categorical", 5, rows=1000),)))
      >>> type(model).__name__
      'SharedBottom'
    """

    model: "type[MultiTaskModel] | str"
    shape: type[ModelShape] = ModelShape
    losses: type = PlainLosses
    trainer: "type[Trainer] | str" = _TRAINER
    offers: frozenset[str] = frozenset({"shared"})

    @property
    def model_class(self) -> "type[MultiTaskModel]":
        """The model, imported."""
        return load(self.model)

    def make(self, shape: ModelShape) -> "MultiTaskModel":
        """Creates a model with fresh weights."""
        return self.model_class(shape)

    def make_trainer(self, *args: Any) -> "Trainer":
        """Creates the trainer of a model; see `Trainer` for the arguments."""
        return load(self.trainer)(*args)

    def explain_rows_in_memory(self, losses: Any) -> str:
        """Explains why these losses need the rows in memory, see `Trainer`; empty otherwise."""
        return load(self.trainer).explain_rows_in_memory(losses)

    def shape_from_plain(self, raw: Mapping[str, Any]) -> ModelShape:
        """Reads a shape that `to_plain` wrote."""
        return from_plain(self.shape, raw)


MODELS: Registry[ModelKind] = Registry(
    "model",
    {
        "mptrec": ModelKind(
            "mptrec_tf.models.mptrec:MPTRec",
            MPTRecShape,
            MPTRecLosses,
            "mptrec_tf.models.mptrec:MPTRecTrainer",
            frozenset({"shared", "specific", "prompts"}),
        ),
        "single": ModelKind("mptrec_tf.models.single:Single", offers=frozenset({"specific"})),
        "shared_bottom": ModelKind("mptrec_tf.models.shared_bottom:SharedBottom"),
    },
)
