r"""Prepares a data set for training: packed features and labels, and the preprocessing graph.

    mptrec-prepare --dataset=synthetic --output_dir=DATA
    mptrec-prepare --dataset=census_income --data_dir=DIR --output_dir=DATA
    mptrec-prepare --spec=my.yaml --train_files=a.csv --validation_files=b.csv \
        --test_files=c.csv --output_dir=DATA
    mptrec-prepare --spec=my.yaml --files='rows/*.csv' --split=0.8,0.1,0.1 --split_by=user_id \
        --output_dir=DATA

It runs on Apache Beam: --runner and the runner's own flags are passed on, for Flink, Spark or
Dataflow. Vocabularies and scales come from the training rows. For the data of a task that will be
added to an existing backbone, give --backbone: its preprocessing is used unchanged.
"""

import sys

from absl import flags

from mptrec_tf.bin import data_flags, program, split_flags
from mptrec_tf.errors import InputError

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the prepared data.")
_TASKS = flags.DEFINE_list(
    "tasks",
    [],
    "Built-in data sets: tasks to label, for now and later; their label columns are left out of "
    f"the features. Default: {data_flags.DEFAULT_TASKS}.",
)
_BACKBONE = flags.DEFINE_string(
    "backbone", None, "Use this backbone's preprocessing instead of fitting a new one."
)
_FILES = {split: data_flags.define_files_flag(split) for split in ("train", "validation", "test")}
_ALL_FILES = flags.DEFINE_list(
    "files", [], "Your own rows of all splits, instead of files for each: --split divides them."
)
_SPLIT, _SPLIT_BY = split_flags.define_split_flags()
_SHARDS = flags.DEFINE_integer(
    "shards",
    None,
    "Files of each split. Default: one for each file or shard of the source.",
    lower_bound=1,
)
_COMPRESS = flags.DEFINE_bool(
    "compress", False, "Compress the files: a fifth of the bytes, read a tenth slower."
)
flags.mark_flag_as_required("output_dir")
flags.adopt_module_key_flags(data_flags)


def main(beam_args: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.artifacts.manifests import describe_backbone
    from mptrec_tf.data.spec import check_same_features
    from mptrec_tf.storage.directories import check_absent

    check_absent(_OUTPUT_DIR.value)
    patterns = {split: flag.value for split, flag in _FILES.items()}
    rule = split_flags.read_rule(
        _SPLIT, _SPLIT_BY, {**patterns, split_flags.FILES: _ALL_FILES.value}
    )
    if rule:
        patterns = {split_flags.FILES: _ALL_FILES.value}
    if data_flags.SPEC.value and _TASKS.value:
        raise InputError("--tasks goes with --dataset; with --spec, the spec lists the tasks.")
    spec = data_flags.read_spec(patterns, _TASKS.value)
    if _BACKBONE.value:
        described = describe_backbone(_BACKBONE.value)
        check_same_features(spec, described.spec, "the data set", f"backbone {described.directory}")

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.data.prepare import count_reads, prepare
    from mptrec_tf.data.prepared import summarize_splits
    from mptrec_tf.data.prepared_checks import DataChecks, find_shared_files
    from mptrec_tf.data.prepared_tables import make_feature_rows, make_label_rows
    from mptrec_tf.data.runners import check_beam_args
    from mptrec_tf.data.sources.splits import SPLITS
    from mptrec_tf.evaluation.report import print_table

    check_beam_args(beam_args)
    source = data_flags.open_source(patterns, _TASKS.value, rule)
    transform_dir = None
    if _BACKBONE.value:
        from mptrec_tf.artifacts.backbones import load_backbone

        transform_dir = load_backbone(_BACKBONE.value).transform_dir
    total = count_reads(source, fits=transform_dir is None)
    with program.progress("preparing", total) as on_rows:
        data = prepare(
            source,
            _OUTPUT_DIR.value,
            transform_dir=transform_dir,
            shards=_SHARDS.value,
            compress=_COMPRESS.value,
            beam_args=beam_args,
            on_rows=on_rows,
        )
    with program.progress("checking", sum(of["rows"] for of in data.splits.values())) as on_rows:
        own = {s: source.shards(s) for s in SPLITS} if data_flags.SPEC.value else {}
        checks = DataChecks(data, on_rows, find_shared_files(own))
        warnings = checks.warnings()
    splits = " / ".join(SPLITS)
    print_table(make_label_rows(data), "Label values, what they became, and rows with them")
    print_table(
        make_feature_rows(data, checks),
        f"Features ({splits})",
    )
    print_table(summarize_splits(data), f"Prepared in {data.directory}")
    if data.split:
        print(f"split: {data.split['text']}")
    counts = [
        kind.describe_count(features, shape.rows, checks.missing_ids[kind.section])
        for (kind, features), shape in zip(data.spec.by_kind().items(), data.inputs, strict=True)
    ]
    print(", ".join(counts))
    program.print_empty(source)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def run() -> None:
    """Entry point."""
    program.run(main, pass_on_unknown_flags=True)


if __name__ == "__main__":
    run()
