"""The kinds of heads that a new task can have, by name, and how a stored head finds its kind.

`HEADS.register` adds a kind of your own, see `mptrec_tf.kinds`. Imports no TensorFlow.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.errors import InputError
from mptrec_tf.kinds import Registry
from mptrec_tf.models.heads import (
    lora_shape,
    mixture_shape,
    own_embedding_shape,
    prompt_shape,
    residual_shape,
    tower_shape,
)
from mptrec_tf.models.heads.kind import HeadKind, IdRanges
from mptrec_tf.storage.plain import fields_from_plain, fields_to_plain

if TYPE_CHECKING:
    from mptrec_tf.models.encoded import Layout
    from mptrec_tf.models.heads.base import Head

__all__ = [
    "AUTO",
    "HEADS",
    "HeadKind",
    "IdRanges",
    "check_fits",
    "find_kind_name",
    "list_candidates",
    "list_fitting",
    "make_head",
    "shape_from_plain",
    "shape_to_plain",
]

# Chooses the best of the heads that fit, on the validation rows.
DEFAULT = "prompt"  # the paper's
AUTO = "auto"
HEADS: Registry[HeadKind] = Registry(
    "head",
    {
        **prompt_shape.KINDS,
        **residual_shape.KINDS,
        **tower_shape.KINDS,
        **mixture_shape.KINDS,
        **lora_shape.KINDS,
        **own_embedding_shape.KINDS,
    },
)


def find_kind_name(shape: Any) -> str:
    """Returns the name of a shape's kind: the first of those that share its layer and bank.

    Raises:
      ValueError: if no kind has shapes of this class, or kinds with different layers have.
    """
    names = [name for name, kind in HEADS.all().items() if kind.shape is type(shape)]
    layers = {(HEADS.get(name).layer, HEADS.get(name).bank) for name in names}
    if len(layers) != 1:
        raise ValueError(
            f"kinds of heads whose shapes are {type(shape).__name__} should have one layer and one "
            f"bank. Received: {names}."
        )
    return names[0]


def make_head(shape: Any, layout: "Layout", name: str, logits: int = 1) -> "Head":
    """Creates a head with fresh weights for a model of a layout, and a task of so many logits.

    Example:
      >>> from mptrec_tf.models.encoded import Layout
      >>> layout = Layout(input_width=20, shared=1, specific=2, width=128, tasks=2, ids=5)
      >>> make_head(HEADS.get("fixed").make_shape(), layout, "share").name
      'share'
    """
    several = {} if logits == 1 else {"logits": logits}
    return HEADS.get(find_kind_name(shape)).layer_class(shape, layout, name=name, **several)


def shape_to_plain(shape: Any) -> dict[str, Any]:
    """Returns the shape of a head as plain data, which `shape_from_plain` reads."""
    return {"type": find_kind_name(shape), **fields_to_plain(shape)}


def shape_from_plain(raw: Mapping[str, Any]) -> Any:
    """Reads a shape that `shape_to_plain` wrote, after a round trip through JSON.

    Raises:
      InputError: if its kind is unknown.
      TypeError: if its fields are not those of the kind.
    """
    # Packages from the time when there was one type do not name it.
    kind = HEADS.get(raw.get("type", "prompt"))
    return fields_from_plain(kind.shape, {k: v for k, v in raw.items() if k != "type"})


def list_fitting(offers: frozenset[str]) -> tuple[str, ...]:
    """Returns the names of the kinds that fit a model, see `ModelKind.offers`."""
    return tuple(name for name, kind in HEADS.all().items() if kind.fits(offers))


def list_candidates(offers: frozenset[str], labels: int) -> tuple[str, ...]:
    """Returns the names of the kinds that "auto" tries.

    Args:
      offers: The model's offers, see `ModelKind.offers`.
      labels: Number of informative training rows, see `Task.informative_rows`.
    """
    tried = [name for name in list_fitting(offers) if HEADS.get(name).is_candidate(labels)]
    return tuple(name for name in tried if not HEADS.get(name).stand_in) or tuple(tried)


def check_fits(names: Sequence[str], offers: frozenset[str], model: str) -> None:
    """Rejects kinds that do not fit a model.

    Raises:
      InputError: naming the first such kind, the inputs it lacks, and the kinds that fit.
    """
    for name in names:
        kind = HEADS.get(name)
        if not kind.fits(offers):
            missing = " and ".join(sorted(kind.reads - offers))
            raise InputError(
                f"head {name!r} reads {missing}, which model {model!r} does not have; "
                f"give {AUTO} or one of {', '.join(list_fitting(offers))}."
            )
