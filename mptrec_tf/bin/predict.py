"""Predicts every task for the raw rows of a file, with an exported model.

    mptrec-predict --model=saved_models/mptrec --input=rows.csv --output=predictions.csv

The input is CSV with a header, or TFRecord of tf.Examples; columns that the model does not need
are passed over. The output has a column per task and a line per row, in the input's order.
"""

from absl import flags

from mptrec_tf.bin import program

_MODEL = flags.DEFINE_string(
    "model", None, "Directory that mptrec-export wrote (its newest version), or one version."
)
_INPUT = flags.DEFINE_string("input", None, "Raw rows: .csv, .csv.gz or TFRecord.")
_OUTPUT = flags.DEFINE_string("output", None, "CSV file to write.")
flags.mark_flags_as_required(["model", "input", "output"])


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.datasets.tabular import estimated_rows, read_file
    from mptrec_tf.directories import check_writable
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.serving.saved_model import LoadedModel
    from mptrec_tf.serving.scoring import predict_file

    check_writable(_OUTPUT.value)
    model = LoadedModel(_MODEL.value)
    with program.progress("predicting", estimated_rows(_INPUT.value)) as on_rows:
        means = predict_file(model, read_file(_INPUT.value), _OUTPUT.value, on_rows)
    print_table(
        [{"task": task, **values} for task, values in means.items()],
        f"Predictions of {model.path} in {_OUTPUT.value}",
    )


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
