"""The models that can be pre-trained, by name."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mptrec_tf.kinds import Registry, load
from mptrec_tf.models.shapes import (
    AITMLosses,
    CSRecLosses,
    MMoEShape,
    ModelShape,
    MPTRecLosses,
    MPTRecShape,
    PlainLosses,
    PLEShape,
    SparseSharingLosses,
)
from mptrec_tf.storage.plain import from_plain

if TYPE_CHECKING:
    from mptrec_tf.models.multitask import MultiTaskModel
    from mptrec_tf.models.trainer import Trainer

DEFAULT = "mptrec"
_TRAINER = "mptrec_tf.models.trainer:Trainer"
_BOTH = frozenset({"shared", "specific"})
_EXPERTS = frozenset({"experts"})


@dataclasses.dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    Attributes:
      model: The subclass of `MultiTaskModel`, or its "module:name", which is imported (and
        TensorFlow with it) when it is needed.
      shape: Dataclass of its shape, `ModelShape` or a subclass. Imports no TensorFlow.
      losses: Dataclass of its loss weights. Imports no TensorFlow.
      trainer: The subclass of `Trainer` that pre-trains it, or its "module:name".
      offers: What heads of new tasks can read of it: "shared", "specific", "prompts"; "experts",
        for heads that change what experts compute of x.
      begin: Optional function, or its "module:name", that is called before the training where
        trainings of its own come first: from the `loop.Job` of the training, the shape, the losses,
        the `TrainingConfig` and the `RunContext` to the job that is run.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
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
    begin: Any = None

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
            frozenset({"shared", "specific", "prompts", "experts"}),
        ),
        "single": ModelKind("mptrec_tf.models.single:Single", offers=frozenset({"specific"})),
        "shared_bottom": ModelKind(
            "mptrec_tf.models.shared_bottom:SharedBottom", offers=frozenset({"shared", "experts"})
        ),
        "mmoe": ModelKind("mptrec_tf.models.mmoe:MMoE", MMoEShape, offers=_BOTH | _EXPERTS),
        "ple": ModelKind("mptrec_tf.models.ple:PLE", PLEShape, offers=_BOTH | _EXPERTS),
        "stem": ModelKind("mptrec_tf.models.stem:STEM", offers=_BOTH),
        "aitm": ModelKind(
            "mptrec_tf.models.aitm:AITM",
            losses=AITMLosses,
            trainer="mptrec_tf.models.aitm:AITMTrainer",
            offers=frozenset({"specific", "experts"}),
        ),
        "sparse_sharing": ModelKind(
            "mptrec_tf.models.sparse_sharing:SparseSharing",
            losses=SparseSharingLosses,
            offers=frozenset({"specific"}),
            begin="mptrec_tf.training.subnets:find_subnets",
        ),
        "csrec": ModelKind(
            "mptrec_tf.models.csrec:CSRec",
            losses=CSRecLosses,
            trainer="mptrec_tf.models.csrec:CSRecTrainer",
            offers=frozenset({"specific"}),
            begin="mptrec_tf.training.subnets:find_subnets",
        ),
    },
)
