"""Seconds and memory of the Evaluator: two models, many rows, six tasks.

    python benchmarks/evaluator.py --directory=DIR
    python benchmarks/evaluator.py --directory=DIR --slices=item_category,device+hour

The rows are `synthetic_logs` (five binary tasks, and watch time, which only clicked rows have), as
the pipelines write them. Both models are pre-trained on 20,000 rows, with two seeds: one is in
production, the other is the candidate. All of that is made once, and found again in DIR by the next
run. Then the component's executor runs in a fresh process, which tells its seconds and its peak
memory, imports left out of the seconds.
"""

import json
import multiprocessing
import os
import resource
import time

from absl import flags

from mptrec_tf.bin import program

_DIRECTORY = flags.DEFINE_string("directory", "build/evaluator", "Where rows and models are made.")
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "Test rows.", lower_bound=1)
_SLICES = flags.DEFINE_list("slices", [], "Features to evaluate by; several at once as a+b.")
_COMPARE = flags.DEFINE_bool("compare", True, "Compare with a model in production.")
_TRAINING_ROWS = 20_000
_TASKS = ("click", "like", "share", "purchase", "cart", "watch")
_SHARDS = 4


def _make_models(directory: str) -> None:
    """Pre-trains two models on a few rows, and writes them as the pipelines do."""
    from components.model_artifact import serving_directory
    from mptrec_tf.artifacts.backbones import save_trained_backbone
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.sets.synthetic_logs.rows import SyntheticLogs
    from mptrec_tf.export.serving_model import save_model
    from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.run_context import RunContext

    rows = {"train": _TRAINING_ROWS, "validation": 4000, "test": 100}
    data = prepare(SyntheticLogs(rows, tasks=_TASKS), f"{directory}/data")
    for name, seed in (("production", 1), ("candidate", 2)):
        context = RunContext(f"{directory}/{name}.training")
        config = PretrainingConfig(_TASKS, training=TrainingConfig(epochs=3, seed=seed))
        model, result = pretrain(data, config, context)
        path = f"{directory}/{name}"
        backbone = save_trained_backbone(
            f"{path}/Backbone", model, data, config.record(), result, context.directory
        )
        save_model(backbone, (), serving_directory(path))


def _make_examples(directory: str, rows: int) -> None:
    """Writes test rows as the pipelines' example generation does."""
    import tensorflow as tf

    from mptrec_tf.data.arrow import serialize_rows
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.raw_examples import make_record_batch, save_description
    from mptrec_tf.data.sets.synthetic_logs.rows import SyntheticLogs

    data = PreparedData(f"{directory}/data")
    source = SyntheticLogs({"test": rows}, tasks=_TASKS)
    folder = f"{directory}/examples-{rows}"
    os.makedirs(f"{folder}/Split-test")
    names = [f"{folder}/Split-test/data-{i:05}-of-{_SHARDS:05}.gz" for i in range(_SHARDS)]
    writers = [tf.io.TFRecordWriter(name, "GZIP") for name in names]
    blocks = (block for shard in source.shards("test") for block in source.read(shard))
    for i, block in enumerate(blocks):
        for row in serialize_rows(make_record_batch(data.spec, block, "test")):
            writers[i % _SHARDS].write(row)
    for writer in writers:
        writer.close()
    save_description(folder, data.spec, data.splits, "benchmark")


def _evaluate(directory: str, rows: int, slices: list[str], compare: bool, output: str) -> None:
    """Runs the component's executor; writes its seconds and peak memory."""
    from tfx.types import standard_artifacts

    from components.evaluation.config import EvaluatorConfig
    from components.evaluation.executor import Executor

    def make(kind, path):
        artifact = kind()
        artifact.uri = f"{directory}/{path}"
        return [artifact]

    inputs = {
        "examples": make(standard_artifacts.Examples, f"examples-{rows}"),
        "model": make(standard_artifacts.Model, "candidate"),
    }
    if compare:
        inputs["baseline_model"] = make(standard_artifacts.Model, "production")
    from components.report import Report

    outputs = {
        "evaluation": make(standard_artifacts.ModelEvaluation, "out/evaluation"),
        "blessing": make(standard_artifacts.ModelBlessing, "out/blessing"),
        "report": make(Report, "out/report"),
    }
    os.makedirs(f"{directory}/out/blessing", exist_ok=True)
    config = EvaluatorConfig(
        _TASKS,
        compared=_TASKS if compare else (),
        slices=tuple(tuple(columns.split("+")) for columns in slices),
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.monotonic()
    Executor().Do(inputs, outputs, {"config": config.to_json()})
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_gb": after.ru_maxrss / 2**20,
        "peak_gb_before": before.ru_maxrss / 2**20,
    }
    with open(output, "w", encoding="utf-8") as file:
        json.dump(measured, file)


def main(_) -> None:
    """Runs the benchmark."""
    directory, rows = os.path.abspath(_DIRECTORY.value), _ROWS.value
    if not os.path.isdir(f"{directory}/candidate/Format-Serving"):
        _run(_make_models, directory)
    if not os.path.isfile(f"{directory}/examples-{rows}/examples.json"):
        _run(_make_examples, directory, rows)
    output = f"{directory}/measured.json"
    _run(_evaluate, directory, rows, _SLICES.value, _COMPARE.value, output)

    from components.report import read_report
    from mptrec_tf.evaluation.report import print_table

    with open(output, encoding="utf-8") as file:
        measured = json.load(file)
    verdicts = read_report(f"{directory}/out/report")["comparison"]
    print_table([verdict for verdict in verdicts if not verdict["slice"]], "Verdicts on all rows")
    row = {"rows": rows, "slices": len({v["slice"] for v in verdicts if v["slice"]}), **measured}
    print_table([row], f"The Evaluator, {len(_TASKS)} tasks")


def _run(function, *arguments) -> None:
    """Calls a function in a process of its own, so that nothing else counts as its memory."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


if __name__ == "__main__":
    program.run(main)
