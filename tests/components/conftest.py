"""The components run on a few synthetic rows; slow artifacts are made once."""

import shutil
from pathlib import Path

import pytest

ROWS = 1200
SHAPE = {"expert_units": (12, 8), "tower_units": (4,)}
OLD = ("click", "like")


def execute(component, folder, **inputs):
    """Runs a component's own executor on artifacts; returns its outputs by name."""
    from tfx.dsl.components.base import base_beam_executor

    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=[], tmp_dir=f"{folder}/tmp/", unique_id="1"
    )
    outputs = {}
    for name, channel in component.outputs.items():
        outputs[name] = channel.type()
        outputs[name].uri = f"{folder}/{name}"
        Path(outputs[name].uri).mkdir(parents=True)
    executor = component.executor_spec.executor_class(context)
    executor.Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {name: [artifact] for name, artifact in outputs.items()},
        dict(component.exec_properties),
    )
    return outputs


def make_channel(artifact):
    from tfx.types import channel_utils

    return channel_utils.as_channel([artifact])


def run(make, folder, inputs, **settings):
    """Makes a component of artifacts and settings, and runs it.

    An input may be several artifacts by name, which the component has as inputs of these names.
    """

    def make_channels(given):
        return {
            name: make_channels(of) if isinstance(of, dict) else make_channel(of)
            for name, of in given.items()
        }

    component = make(**make_channels(inputs), **settings)
    flat = {name: of for name, of in inputs.items() if not isinstance(of, dict)}
    for of in inputs.values():
        flat |= of if isinstance(of, dict) else {}
    return execute(component, folder, **flat)


def copy_files(artifact, folder):
    """The same kind of artifact with a copy of its files."""
    other = type(artifact)()
    other.uri = str(shutil.copytree(artifact.uri, folder))
    if artifact.type_name == "Examples":
        other.split_names = artifact.split_names
    return other


@pytest.fixture(scope="session")
def run_component():
    return run


@pytest.fixture(scope="session")
def run_executor():
    return execute


@pytest.fixture(scope="session")
def copy_artifact():
    return copy_files


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    """Directory of the fixtures' artifacts."""
    return tmp_path_factory.mktemp("components")


@pytest.fixture(scope="session")
def synthetic():
    """The synthetic data set: 1,200 training rows, 200 validation rows, 400 test rows."""
    from components.example_gen.source import SourceConfig

    return SourceConfig(dataset="synthetic", options={"rows": ROWS})


@pytest.fixture(scope="session")
def examples(artifacts, synthetic):
    from components.example_gen.component import RawExampleGen

    return execute(RawExampleGen(synthetic), artifacts / "example_gen")["examples"]


@pytest.fixture(scope="session")
def statistics(artifacts, examples):
    from tfx.v1.components import StatisticsGen

    return run(StatisticsGen, artifacts / "statistics_gen", {"examples": examples})["statistics"]


@pytest.fixture(scope="session")
def schema(artifacts, statistics):
    """Inferred from the training rows, each feature of shape [1]."""
    from tfx.v1.components import SchemaGen

    return run(
        SchemaGen,
        artifacts / "schema_gen",
        {"statistics": statistics},
        exclude_splits=["validation", "test"],
    )["schema"]


def run_transform_component(folder, examples, schema, spec):
    from tfx.proto import transform_pb2
    from tfx.v1.components import Transform

    return run(
        Transform,
        folder,
        {"examples": examples, "schema": schema},
        preprocessing_fn="components.preprocessing.preprocessing_fn",
        custom_config={"spec": spec.to_json()},
        materialize=False,
        disable_statistics=True,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train"]),
    )["transform_graph"]


@pytest.fixture(scope="session")
def run_transform():
    return run_transform_component


@pytest.fixture(scope="session")
def transform_graph(artifacts, examples, schema, synthetic):
    return run_transform_component(artifacts / "transform", examples, schema, synthetic.make_spec())


@pytest.fixture(scope="session")
def pretrain(transform_graph, schema, without_xla):
    """Runs the pre-trainer on click and like for two epochs."""

    def pretrain(folder, examples, strategy=None, **changes):
        from components.pretrainer.component import Pretrainer
        from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig

        training = TrainingConfig(epochs=2, batch_size=128, seed=4)
        fields = {"tasks": OLD, "shape": SHAPE, "training": training}
        with without_xla():
            return run(
                Pretrainer,
                folder,
                {"examples": examples, "transform_graph": transform_graph, "schema": schema},
                config=PretrainingConfig(**fields | changes),
                state_dir=f"{folder.parent}/unfinished",
                strategy=strategy,
            )

    return pretrain


@pytest.fixture(scope="session")
def tune(without_xla):
    """Runs the prompt tuner for two epochs."""

    def tune(folder, examples, base_model, task, **training):
        from components.prompt_tuner.component import PromptTuner
        from components.prompt_tuner.config import PromptTunerConfig
        from mptrec_tf.training.configurations import NewTaskConfig

        # Fast enough that the second of two epochs is better than the first.
        fields = {"epochs": 2, "batch_size": 128, "learning_rate": 0.01, "seed": 5}
        how = NewTaskConfig("prompt", {"tower_units": (4,)}, fields | training)
        with without_xla():
            return run(
                PromptTuner,
                folder,
                {"examples": examples, "base_model": base_model},
                config=PromptTunerConfig(task, how),
                state_dir=f"{folder.parent}/unfinished",
            )

    return tune


@pytest.fixture(scope="session")
def pretrained(artifacts, pretrain, examples):
    """Outputs of the pre-trainer: a model of click and like."""
    return pretrain(artifacts / "pretrainer", examples)


@pytest.fixture(scope="session")
def model(pretrained):
    """A model of click and like. Tests that change its files take a copy."""
    return pretrained["model"]


@pytest.fixture(scope="session")
def tuned(artifacts, tune, examples, model):
    """Outputs of the prompt tuner: that model with share."""
    return tune(artifacts / "prompt_tuner", examples, model, "share")


@pytest.fixture(scope="session")
def grown(tuned):
    """The model with share added to it. Tests that change its files take a copy."""
    return tuned["model"]


@pytest.fixture(scope="session")
def both(artifacts, tune, examples, grown):
    """That model with purchase added, too. Tests that change its files take a copy."""
    return tune(artifacts / "prompt_tuner_2", examples, grown, "purchase")["model"]
