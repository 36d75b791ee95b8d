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
from mptrec_tf.training.batches import Rows, load_both
from mptrec_tf.training.cluster import PARAMETER_SERVER, read_server_cluster
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.distribution import start_distribution
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext
from mptrec_tf.training.servers import serve_until_the_end
from mptrec_tf.training.worker_files import write_worker_files


def run_fn(fn_args: FnArgs) -> None:
    """Pre-trains a backbone and exports it; see `component.Pretrainer`.

    Where several processes train together, each calls this; the chief writes the model.

    Raises:
      InputError: for unknown tasks, one with a single class, examples that are damaged, a base
        model that was changed, or a strategy of several processes without TF_CONFIG.
    """
    uri = os.path.dirname(fn_args.serving_model_dir)
    strategy = fn_args.custom_config.get("strategy")
    if strategy == PARAMETER_SERVER and not (cluster := read_server_cluster()).is_chief:
        serve_until_the_end(cluster, lambda: model_artifact.is_complete(uri))
        return
    # Before TensorFlow computes anything.
    distribution = start_distribution(strategy)
    config = from_plain(PretrainingConfig, fn_args.custom_config["config"])
    data = RawExamples(find_examples(fn_args), fn_args.transform_graph_path)
    data.task_columns(config.tasks)
    how, begin, begins_with = config, None, {}
    if fn_args.custom_config.get("warm"):
        old = model_artifact.load(os.path.dirname(fn_args.base_model)).backbone
        warm = WarmStart(old, data)
        how, begin, begins_with = warm.shorten(config), warm.begin, {"warm_start": old.fingerprint}
    with training_state(
        fn_args,
        fn_args.custom_config["state_dir"],
        is_chief=distribution.is_chief,
        config=fn_args.custom_config["config"],
        rows=data.fingerprint,
        graph=fingerprint_transform(data.transform_dir),
        **begins_with,
    ) as work:
        context = RunContext(work, title="pre-training", distribution=distribution)
        rows = None
        if strategy == PARAMETER_SERVER:
            rows = _load_rows_for_workers(data, how, context)
        model, result = pretrain(data, how, context, rows, begin)
        if not distribution.is_chief:
            return
        # The settings are those of a whole training: the next renewal begins with them.
        record = {**config.record(), **make_training_record(data, result)}
        directory = model_artifact.backbone_directory(uri)
        tf.io.gfile.makedirs(directory)
        spec = dataclasses.replace(data.spec, tasks=result.complete(data.spec.tasks))
        save_backbone(directory, model, spec, data.transform_dir, record)
        model_artifact.write(uri, load_backbone(directory), (), data)


def _load_rows_for_workers(
    data: RawExamples, config: PretrainingConfig, context: RunContext
) -> tuple[Rows, Rows]:
    """Returns training rows, packed in files for workers, and validation rows."""
    train, validation = load_both(data, config.tasks, context.row_memory)
    workers = len(context.distribution.cluster.workers)
    packed = os.path.join(context.directory, f"rows-{workers}")
    return write_worker_files(train, packed, workers, config.training.batch_size), validation
