"""Export: SavedModels that serve a backbone and task packages.

serving_model       `export`, `ServingModel`
versions            the versions of an exported model
version_contents    their descriptions, read without TensorFlow
version_parts       `load_parts`: the backbone and packages of a version
model_card          `make_model_card`
"""

__all__ = [
    "model_card",
    "serving_model",
    "spec_columns",
    "version_contents",
    "version_parts",
    "versions",
    "warmup",
]
