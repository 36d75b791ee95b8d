"""The `run_fn` of the pre-trainer: raw examples and a preprocessing graph in, a model out."""

import dataclasses
import os

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components import model_artifact
from components.training_state import find_examples, training_state
from mptrec_tf.artifacts.backbones import load_backbone, make_training_record, save_backbone
from mptrec_tf.data.raw_examples import RawExamples
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.renewal.warm_start import WarmStart
from mptrec_tf.storage.plain import from_plain
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext


def run_fn(fn_args: FnArgs) -> None:
    """Pre-trains a backbone and exports it; see `component.Pretrainer`.

    Raises:
      InputError: for unknown tasks, one with a single class, examples that are damaged, or a base
        model that was changed.
    """
    config = from_plain(PretrainingConfig, fn_args.custom_config["config"])
    data = RawExamples(find_examples(fn_args), fn_args.transform_graph_path)
    data.task_columns(config.tasks)
    uri = os.path.dirname(fn_args.serving_model_dir)
    how, begin, begins_with = config, None, {}
    if fn_args.custom_config.get("warm"):
        old = model_artifact.load(os.path.dirname(fn_args.base_model)).backbone
        warm = WarmStart(old, data)
        how, begin, begins_with = warm.shorten(config), warm.begin, {"warm_start": old.fingerprint}
    with training_state(
        fn_args,
        fn_args.custom_config["state_dir"],
        config=fn_args.custom_config["config"],
        rows=data.fingerprint,
        graph=fingerprint_transform(data.transform_dir),
        **begins_with,
    ) as work:
        context = RunContext(work, title="pre-training")
        model, result = pretrain(data, how, context, begin=begin)
        # The settings are those of a whole training: the next renewal begins with them.
        record = {**config.record(), **make_training_record(data, result)}
        directory = model_artifact.backbone_directory(uri)
        tf.io.gfile.makedirs(directory)
        spec = dataclasses.replace(data.spec, tasks=result.complete(data.spec.tasks))
        save_backbone(directory, model, spec, data.transform_dir, record)
        model_artifact.write(uri, load_backbone(directory), (), data)
