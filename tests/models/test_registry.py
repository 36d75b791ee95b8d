"""Kinds of models by name, the project's and a user's."""

import dataclasses
import json
import subprocess
import sys

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.models.aitm import AITM, AITMTrainer
from mptrec_tf.models.csrec import CSRec, CSRecTrainer
from mptrec_tf.models.mmoe import MMoE
from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
from mptrec_tf.models.ple import PLE
from mptrec_tf.models.registry import DEFAULT, MODELS, ModelKind
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
from mptrec_tf.models.shared_bottom import SharedBottom
from mptrec_tf.models.single import Single
from mptrec_tf.models.sparse_sharing import SparseSharing
from mptrec_tf.models.stem import STEM
from mptrec_tf.models.trainer import Plan, Trainer
from mptrec_tf.training.configurations import PretrainingConfig

NAMES = (
    *("mptrec", "single", "shared_bottom"),
    *("mmoe", "ple", "stem", "aitm", "sparse_sharing", "csrec"),
)


def test_the_projects_own():
    assert MODELS.names() == NAMES
    assert DEFAULT == "mptrec"
    actual = {name: (kind.shape, kind.losses, kind.offers) for name, kind in MODELS.all().items()}
    assert actual == {
        "mptrec": (MPTRecShape, MPTRecLosses, {"shared", "specific", "prompts", "experts"}),
        "single": (ModelShape, PlainLosses, {"specific"}),
        "shared_bottom": (ModelShape, PlainLosses, {"shared", "experts"}),
        "mmoe": (MMoEShape, PlainLosses, {"shared", "specific", "experts"}),
        "ple": (PLEShape, PlainLosses, {"shared", "specific", "experts"}),
        "stem": (ModelShape, PlainLosses, {"shared", "specific"}),
        "aitm": (ModelShape, AITMLosses, {"specific", "experts"}),
        "sparse_sharing": (ModelShape, SparseSharingLosses, {"specific"}),
        "csrec": (ModelShape, CSRecLosses, {"specific"}),
    }


@pytest.mark.parametrize(
    ("name", "model", "trainer"),
    [
        ("mptrec", MPTRec, MPTRecTrainer),
        ("single", Single, Trainer),
        ("shared_bottom", SharedBottom, Trainer),
        ("mmoe", MMoE, Trainer),
        ("ple", PLE, Trainer),
        ("stem", STEM, Trainer),
        ("aitm", AITM, AITMTrainer),
        ("sparse_sharing", SparseSharing, Trainer),
        ("csrec", CSRec, CSRecTrainer),
    ],
)
def test_a_kind_makes_its_model_and_its_trainer(shape, tasks_of, name, model, trainer):
    kind = MODELS.get(name)
    model_of_kind = kind.make(shape(kind=name))
    assert type(model_of_kind) is model
    assert model_of_kind.kind == name
    assert model_of_kind.shape_type is kind.shape
    training = kind.make_trainer(
        model_of_kind, tasks_of(model_of_kind), kind.losses(), Plan(steps=1, rows=6)
    )
    assert type(training) is trainer
    assert training.backbone is model_of_kind
    assert training.loss_weights == kind.losses()


def test_what_a_model_offers_is_what_it_has(backbone, batch):
    for name, kind in MODELS.all().items():
        model = backbone(kind=name)
        inputs = model.head_inputs(model.encode(batch()))
        has = {
            "shared": inputs.encoded.shared,
            "specific": inputs.encoded.specific,
            "prompts": inputs.prompts,
        }
        offers = {what for what, tensor in has.items() if tensor.shape[0]}
        offers |= {"experts"} if inputs.experts else set()
        assert kind.offers == offers


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_is_read_from_plain_data(shape, name):
    one = shape(kind=name, l2_dense=0.25)
    plain = json.loads(json.dumps(dataclasses.asdict(one)))
    assert MODELS.get(name).shape_from_plain(plain) == one


def test_why_rows_are_needed_in_memory():
    mptrec = MODELS.get("mptrec")
    assert mptrec.explain_rows_in_memory(MPTRecLosses()) == (
        "periodic assignment stores an environment for each; use --assignment=online"
    )
    assert mptrec.explain_rows_in_memory(MPTRecLosses(assignment="online")) == ""
    assert mptrec.explain_rows_in_memory(MPTRecLosses(adversarial_weight=0.0)) == ""
    assert MODELS.get("single").explain_rows_in_memory(PlainLosses()) == ""


def test_an_unknown_kind_is_named():
    with pytest.raises(InputError) as rejection:
        MODELS.get("singel")
    assert str(rejection.value) == (
        f"unknown model 'singel'; there are {', '.join(NAMES)}; did you mean 'single'?"
    )


@dataclasses.dataclass(frozen=True)
class Strength:
    strength: float = 2.0


class Stronger(Trainer):
    """Multiplies the loss."""

    def compute_loss(self, inputs, training=False):
        return self.loss_weights.strength * super().compute_loss(inputs, training)


class Mine(SharedBottom):
    kind = "mine"


@pytest.fixture
def mine(monkeypatch):
    """A kind that a user registered."""
    monkeypatch.setattr(MODELS, "_kinds", dict(MODELS._kinds))
    kind = ModelKind(Mine, losses=Strength, trainer=Stronger)
    MODELS.register("mine", kind)
    return kind


def test_a_kind_of_ones_own(mine, shape, backbone, batch, tasks_of):
    assert MODELS.names() == (*NAMES, "mine")
    assert MODELS.get("mine") is mine
    assert (mine.shape, mine.offers) == (ModelShape, {"shared"})
    model = backbone(kind="mine")
    assert (type(model), model.kind) == (Mine, "mine")
    trainer = mine.make_trainer(model, tasks_of(model), Strength(3.0), None)
    plain = Trainer(model, tasks_of(model))
    assert float(trainer.compute_loss(batch())) == pytest.approx(
        3 * float(plain.compute_loss(batch())), rel=1e-6
    )


def test_no_name_is_taken_twice(mine):
    with pytest.raises(ValueError, match="there is a model 'mine' already; give it another name"):
        MODELS.register("mine", ModelKind(Single))
    with pytest.raises(ValueError, match="there is a model 'single' already"):
        MODELS.register("single", ModelKind(Single))
    assert MODELS.get("mine") is mine


def test_names_and_shapes_are_known_without_tensorflow():
    script = (
        "import sys; from mptrec_tf.models.registry import MODELS; MODELS.all();"
        "from mptrec_tf.training.configurations import PretrainingConfig;"
        "PretrainingConfig(('a',), 'single').check_fields(); sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_mistakes_of_a_kind_are_named_before_anything_is_read(monkeypatch):
    from mptrec_tf.training.pretraining import pretrain

    monkeypatch.setattr(MODELS, "_kinds", dict(MODELS._kinds))
    MODELS.register("renamed", ModelKind(Single))
    with pytest.raises(ValueError, match=r"Single.kind should be 'renamed'.*Received: 'single'"):
        pretrain(None, PretrainingConfig(("a",), "renamed"), None)
    for fields in ({"fusion": "full"}, {"tasks": ("b",)}):
        name = next(iter(fields))
        with pytest.raises(InputError, match=f"model 'single' has no {name}; leave it out"):
            pretrain(None, PretrainingConfig(("a",), "single", fields), None)
