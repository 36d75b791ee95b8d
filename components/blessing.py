"""Blessings: whether a validator accepts a model, stored as TFX stores it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.components.evaluator import constants
from tfx.components.util import model_utils
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact

from mptrec_tf.storage.directories import write_file

# A property of the Evaluator's blessing: the tasks that --accept names and the gate would block.
ACCEPTED = "accepted"
_INFRA_FILES = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
_MODEL_FILES = {True: constants.BLESSED_FILE_NAME, False: constants.NOT_BLESSED_FILE_NAME}


def bless(blessing: Artifact, model: Artifact, blessed: bool) -> None:
    """Marks a ModelBlessing or an InfraBlessing of a model."""
    files = _INFRA_FILES if blessing.type_name == "InfraBlessing" else _MODEL_FILES
    write_file(os.path.join(blessing.uri, files[blessed]), "")
    key = constants.ARTIFACT_PROPERTY_BLESSED_KEY
    blessing.set_int_custom_property(key, int(blessed))
    key = constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
    blessing.set_int_custom_property(key, model.id)
    key = constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY
    blessing.set_string_custom_property(key, model.uri)


def find_rejections(input_dict: Mapping[str, Sequence[Artifact]]) -> list[str]:
    """Returns the names of inputs that are blessings and reject the model."""
    names = []
    for name, artifacts in input_dict.items():
        if not artifacts:
            continue
        blessing: Any = artifact_utils.get_single_instance(list(artifacts))
        if blessing.type_name == "ModelBlessing" and not model_utils.is_model_blessed(blessing):
            names.append(name)
        if blessing.type_name == "InfraBlessing" and not model_utils.is_infra_validated(blessing):
            names.append(name)
    return names
