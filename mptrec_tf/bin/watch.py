r"""Compares what a model was asked in production with what it was trained on, and says what to do.

    mptrec-watch --model=saved_models/shop --logs='requests/*' --output=watch.html
    mptrec-watch --model=saved_models/shop --logs='requests/*' --labels='labels/*.csv' \
        --request_id=impression_id --label_time=clicked_at --output=watch.html --json=watch.json

Logs are those of TF Serving, or of mptrec-serve --log_requests. Of each column it shows how far the
served values are from the training rows' (as the pipelines' data gate does) and which share of them
the vocabulary does not hold; of each task how its predictions are distributed; and, where labels
have come, score, log loss and calibration by day. Labels are files of any format that
mptrec-evaluate reads, joined by --request_id.

It recommends one of: nothing; recalibrate; add buckets; refresh; with the numbers behind it. The
exit status is 0 if there is nothing to do, 3 if something is recommended, and 1 for an error.
"""

import sys

from absl import flags

from mptrec_tf.bin import output_files, program
from mptrec_tf.errors import InputError

RECOMMENDED = 3  # the exit status if something is to be done

_MODEL = flags.DEFINE_string(
    "model", None, "Directory that mptrec-export wrote (its newest version), or one version."
)
_LOGS = flags.DEFINE_list("logs", None, "Request logs: files, globs or folders, by commas.")
_LABELS = flags.DEFINE_list(
    "labels", [], "Files with labels that came later: files, globs or folders, by commas."
)
_REQUEST_ID = flags.DEFINE_list(
    "request_id",
    ["request_id"],
    "Columns of the labels that together identify a row, by commas. Requests have them as columns "
    "of the model, as features of tf.Examples, or, one of them, as the input request_id.",
)
_LABEL_TIME = flags.DEFINE_string(
    "label_time", None, "Column of the labels' times: seconds since 1970, or ISO 8601."
)
_MODEL_NAME = flags.DEFINE_string(
    "model_name", None, "The model's name in requests. Default: the one that the logs have."
)
_OUTPUT = flags.DEFINE_string("output", None, "Write the report to this file as one HTML page.")
_JSON = flags.DEFINE_string(
    "json", None, "Write the numbers to this file as JSON; -: standard output."
)
_MAX_DRIFT = flags.DEFINE_float(
    "max_drift",
    0.1,
    "A column that is further from the training rows than the validation rows were, by more than "
    "this, asks for a refresh.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MAX_UNKNOWN = flags.DEFINE_float(
    "max_unknown",
    0.1,
    "A share of unknown values above this asks for a refresh, or for buckets.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MARGIN = flags.DEFINE_float(
    "margin",
    0.01,
    "By how much a task's score may be below that of the validation rows.",
    lower_bound=0.0,
)
_MAX_CALIBRATION = flags.DEFINE_float(
    "max_calibration",
    0.1,
    "By which share the mean prediction may be off the mean label.",
    lower_bound=0.0,
)
_CONFIDENCE = flags.DEFINE_float(
    "confidence",
    0.95,
    "With which a score or a calibration has to be off, one-sided.",
    lower_bound=0.5,
    upper_bound=0.9999,
)
_TOLERANCE = flags.DEFINE_float(
    "clock_tolerance", 60.0, "Seconds by which clocks may disagree.", lower_bound=0.0
)
flags.mark_flags_as_required(["model", "logs"])


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.data.sets.registry import check_files
    from mptrec_tf.storage.destinations import display_path
    from mptrec_tf.storage.directories import check_writable, write_file
    from mptrec_tf.watching.watched_version import open_version

    for path in filter(None, (_OUTPUT.value, _JSON.value)):
        check_writable(path)
    if _OUTPUT.value == "-":
        raise InputError("--output is a page of HTML: name a file; --json can be - .")
    if _LABEL_TIME.value and not _LABELS.value:
        raise InputError("--label_time goes with --labels.")
    if not _REQUEST_ID.value:
        raise InputError("--request_id names no column; give those that identify a row.")
    if not _LOGS.value:
        raise InputError("--logs names no file; give request logs, or their folder.")
    check_files(_LOGS.value)
    if _LABELS.value:
        check_files(_LABELS.value)
    version = open_version(_MODEL.value)

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.data.sources.tabular import list_shards
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.watching import report as reports
    from mptrec_tf.watching.recommending import NOTHING, Limits
    from mptrec_tf.watching.watch import WatchOptions, watch

    others = dict.fromkeys(list_shards(_LOGS.value), "a log")
    if _LABELS.value:
        others |= dict.fromkeys(list_shards(_LABELS.value), "a file of labels")
    page, numbers = (
        output_files.prepare(path, others) if path else None
        for path in (_OUTPUT.value, _JSON.value)
    )
    options = WatchOptions(
        limits=Limits(
            drift=_MAX_DRIFT.value,
            unknown=_MAX_UNKNOWN.value,
            margin=_MARGIN.value,
            calibration=_MAX_CALIBRATION.value,
            confidence=_CONFIDENCE.value,
        ),
        tolerance=_TOLERANCE.value,
        model_name=_MODEL_NAME.value,
        id_columns=tuple(_REQUEST_ID.value),
        label_time=_LABEL_TIME.value,
    )
    with program.progress("reading", 0, "requests") as on_requests:
        found = watch(version, _LOGS.value, _LABELS.value, options, on_requests)
    for title, rows in reports.list_tables(found):
        print_table(rows, title)
    for note in found.notes:
        print(note)
    print(f"{found.requests:,} requests of {found.rows:,} rows. {reports.ADVICE[found.action]}")
    for reason in found.reasons:
        print(f"  [{reason.action}] {reason.sentence}")
    for path, make in ((page, reports.make_page), (numbers, reports.make_json)):
        if path:
            write_file(path, make(found))
            print(f"written to {display_path(path)}")
    if found.action != NOTHING:
        sys.stdout.flush()
        sys.exit(RECOMMENDED)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
