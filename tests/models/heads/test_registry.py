import subprocess
import sys

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.kind import HeadKind, select_serving_fields
from mptrec_tf.models.heads.lora_shape import LoRAConfig
from mptrec_tf.models.heads.mixture_shape import MixtureConfig
from mptrec_tf.models.heads.own_embedding_shape import LEAST_IDS, OwnEmbeddingConfig
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import (
    HEADS,
    check_fits,
    list_candidates,
    list_fitting,
    make_head,
    shape_from_plain,
    shape_to_plain,
)
from mptrec_tf.models.heads.residual_shape import FEW_LABELS, ResidualConfig
from mptrec_tf.models.heads.tower_shape import TowerConfig
from mptrec_tf.models.registry import MODELS

PROMPTS = ("prompt", "fixed", "task_similarity")
RESIDUALS = ("residual", "residual_small")
OTHERS = ("gate_tower", "own_expert", "lora", "own_embedding")


def test_flags_and_files_read_the_registry_without_tensorflow():
    code = (
        "import sys; from mptrec_tf.models.heads.registry import HEADS, shape_to_plain; "
        "[shape_to_plain(kind.make_shape()) for kind in HEADS.all().values()]; "
        "sys.exit(bool({'tensorflow', 'keras', 'tf_keras', 'tfx'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_kinds_and_their_shapes():
    assert HEADS.names() == (*PROMPTS, *RESIDUALS, "tower", *OTHERS)
    ranges = ((0, 0, 3),)
    shapes = {name: kind.make_shape(ranges) for name, kind in HEADS.all().items()}
    assert shapes == {
        "prompt": PromptConfig(),
        "fixed": PromptConfig("fixed"),
        "task_similarity": PromptConfig("task_similarity"),
        "residual": ResidualConfig(id_ranges=ranges),
        "residual_small": ResidualConfig(32, (32, 16), 0.1, id_ranges=ranges),
        "tower": TowerConfig(),
        "gate_tower": MixtureConfig(),
        "own_expert": MixtureConfig(own_expert=True),
        "lora": LoRAConfig(),
        "own_embedding": OwnEmbeddingConfig(id_ranges=ranges),
    }


def test_features_get_weights_or_embeddings_of_single_ids_by_how_many_they_have():
    few, some, many = (0, 0, LEAST_IDS - 1), (1, 9, LEAST_IDS), (2, 19, 257)
    shape = HEADS.get("own_embedding").make_shape((few, some, many), own_width=2)
    assert shape == OwnEmbeddingConfig(
        id_ranges=(few, some), own_width=2, table_ranges=(some, many)
    )


def test_changes_that_a_shape_does_not_have_are_left_out():
    changes = {"tau": 2.0, "tower_units": (4,)}
    assert HEADS.get("fixed").make_shape(**changes) == PromptConfig("fixed", 2.0, tower_units=(4,))
    assert HEADS.get("residual").make_shape(**changes) == ResidualConfig(tower_units=(4,))


@pytest.mark.parametrize(
    ("model", "labels", "expected"),
    [
        ("mptrec", FEW_LABELS, (*PROMPTS, *RESIDUALS, "own_embedding")),
        ("mptrec", FEW_LABELS - 1, PROMPTS),
        ("shared_bottom", FEW_LABELS, ("tower",)),
        ("shared_bottom", 1, ("tower",)),
        ("single", FEW_LABELS, ("tower",)),
    ],
)
def test_what_auto_tries(model, labels, expected):
    assert list_candidates(MODELS.get(model).offers, labels) == expected


def test_the_tower_stands_in_where_labels_are_too_few_for_all_that_fit():
    offers = frozenset({"shared", "specific"})
    assert list_fitting(offers) == (
        *RESIDUALS,
        "tower",
        "gate_tower",
        "own_expert",
        "own_embedding",
    )
    assert list_candidates(offers, FEW_LABELS) == (*RESIDUALS, "own_embedding")
    assert list_candidates(offers, FEW_LABELS - 1) == ("tower",)


def test_auto_leaves_out_a_large_table_of_the_tasks_own():
    kind = HEADS.get("own_embedding")
    shape = kind.make_shape(((0, 0, 100), (1, 100, 900)), own_width=3)
    assert shape.table_numbers == 3 * 1000
    assert kind.is_small_enough(shape, 100_000)  # 3% of it
    assert not kind.is_small_enough(shape, 99_999)
    assert HEADS.get("residual").is_small_enough(HEADS.get("residual").make_shape(), 1)


def test_a_head_that_does_not_fit_is_rejected():
    check_fits(HEADS.names(), MODELS.get("mptrec").offers, "mptrec")
    with pytest.raises(
        InputError,
        match="head 'residual' reads specific, which model 'shared_bottom' does not have; "
        "give auto or one of tower, gate_tower, own_expert, lora",
    ):
        check_fits(["tower", "residual"], MODELS.get("shared_bottom").offers, "shared_bottom")


def test_what_matters_in_training_alone_is_no_part_of_the_shape_for_serving():
    plain, trained = PromptConfig(), PromptConfig(kl_weight=1.0, tower_dropout=0.5, l2_dense=1.0)
    assert select_serving_fields(plain) == select_serving_fields(trained)
    assert select_serving_fields(plain) != select_serving_fields(PromptConfig(tau=2.0))
    assert dict(select_serving_fields(ResidualConfig())) == {
        "expert_units": 48,
        "tower_units": (64, 32),
        "id_ranges": (),
    }


def test_a_stored_shape_of_an_unknown_kind_is_rejected():
    raw = shape_to_plain(TowerConfig())
    assert shape_from_plain(raw) == TowerConfig()
    with pytest.raises(InputError, match="unknown head 'mine'; there are prompt"):
        shape_from_plain(raw | {"type": "mine"})
    with pytest.raises(TypeError, match="unexpected keyword argument 'gate'"):
        shape_from_plain(raw | {"gate": 1})


def test_a_shape_of_no_kind_is_rejected():
    with pytest.raises(ValueError, match=r"whose shapes are HeadKind should have one layer"):
        make_head(HeadKind(PromptConfig, "somewhere:PromptHead"), None, "mine")
