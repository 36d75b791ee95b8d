"""Export: SavedModels that serve a backbone and task packages.

serving_model       `export`, `ServingModel`
versions            the versions of an exported model
version_contents    their descriptions, read without TensorFlow
version_parts       `load_parts`: the backbone and packages of a version
integrity           `check_version`: the manifest of a version's files, and its signature
signing             the keys of signatures
model_card          `make_model_card`
"""

__all__ = [
    "integrity",
    "model_card",
    "optional_inputs",
    "output_names",
    "serving_model",
    "signing",
    "spec_columns",
    "version_contents",
    "version_parts",
    "versions",
    "warmup",
]
