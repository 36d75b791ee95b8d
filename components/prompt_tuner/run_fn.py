"""The `run_fn` of the prompt tuner: raw examples and a base model in, a model with the task out."""

import os

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components import model_artifact
from components.prompt_tuner.config import PromptTunerConfig
from components.training_state import find_examples, training_state
from mptrec_tf.artifacts.backbones import make_training_record
from mptrec_tf.artifacts.task_packages import check_addable, load_package, save_package
from mptrec_tf.data.raw_examples import RawExamples
from mptrec_tf.data.spec import check_same_features
from mptrec_tf.data.training_data import check_same_labels
from mptrec_tf.renewal.warm_head import find_warm_head
from mptrec_tf.storage.plain import from_plain, to_plain
from mptrec_tf.training.new_task import learn
from mptrec_tf.training.run_context import RunContext


def run_fn(fn_args: FnArgs) -> None:
    """Trains a new task and exports it with all others; see `component.PromptTuner`.

    Raises:
      InputError: for an unknown base model, examples with other features than its backbone's, an
        unknown task, one with a single class, one that the backbone was pre-trained on, or a model
        to renew that was changed.
    """
    config = from_plain(PromptTunerConfig, fn_args.custom_config["config"])
    base = model_artifact.load(os.path.dirname(fn_args.base_model))
    backbone = base.backbone
    data = RawExamples(find_examples(fn_args), backbone.transform_dir)
    check_same_features(
        data.spec, backbone.spec, "the new task's data", f"backbone {backbone.directory}"
    )
    [task] = data.spec.select_tasks([config.task])
    data.task_columns([task.name])
    check_addable(backbone, task)
    # The pipeline's evaluator counts these labels.
    check_same_labels([t for t in base.tasks_by_name.values() if t.name != task.name], data)
    uri = os.path.dirname(fn_args.serving_model_dir)
    how, begin, begins_with = config.how, None, {}
    if renews := fn_args.custom_config.get("renews"):
        old = model_artifact.load(renews)
        warm = find_warm_head(old.packages, task.name, how, old.backbone, backbone)
        if warm:
            how, begin, begins_with = warm.shorten(how), warm.begin, {"warm_start": renews}
    with training_state(
        fn_args,
        fn_args.custom_config["state_dir"],
        config=to_plain(config),
        rows=data.fingerprint,
        backbone=backbone.fingerprint,
        **begins_with,
    ) as work:
        chosen, candidates = learn(
            backbone.model,
            data,
            task.name,
            how,
            RunContext(work, fingerprint=backbone.fingerprint),
            begin=begin,
        )
        record = {
            "training": to_plain(config.how.whole_training(chosen.kind)),
            "candidates": [candidate.row() for candidate in candidates],
            **make_training_record(data, chosen.result),
        }
        directory = model_artifact.package_directory(uri, task.name)
        tf.io.gfile.makedirs(directory)
        [task] = chosen.result.complete([task])
        save_package(directory, task, chosen.head, backbone.fingerprint, record)
        others = [package for package in base.packages if package.task.name != task.name]
        packages = [*others, load_package(directory, backbone)]
        model_artifact.write(uri, backbone, packages, data, added=task.name, base=base.uri)
