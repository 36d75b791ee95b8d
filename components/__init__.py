"""TFX components that the pipelines need beside TFX's own, each in a folder of its own.

    from components import DataGate, GateConfig

What a name stands for is imported on first use: configurations need no TFX.
"""

import importlib

import mptrec_tf  # noqa: F401  (before TFX, which imports TensorFlow: it selects Keras 2)

__all__ = [
    "DataGate",
    "Evaluator",
    "EvaluatorConfig",
    "FrozenTaskValidator",
    "GateConfig",
    "Pretrainer",
    "PromptTuner",
    "PromptTunerConfig",
    "Pusher",
    "RawExampleGen",
    "ServingCheck",
    "SourceConfig",
    "Thresholds",
]
_MODULES = {
    "DataGate": "data_gate.component",
    "Evaluator": "evaluation.component",
    "EvaluatorConfig": "evaluation.config",
    "FrozenTaskValidator": "frozen_task_validator.component",
    "GateConfig": "data_gate.config",
    "Pretrainer": "pretrainer.component",
    "PromptTuner": "prompt_tuner.component",
    "PromptTunerConfig": "prompt_tuner.config",
    "Pusher": "pusher.component",
    "RawExampleGen": "example_gen.component",
    "ServingCheck": "serving_check.component",
    "SourceConfig": "example_gen.source",
    "Thresholds": "evaluation.thresholds",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
