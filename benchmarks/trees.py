r"""A model in its default settings against scikit-learn's trees and logistic regression.

    python benchmarks/trees.py --data=DATA[,DATA] [--tasks=income,marital] [--seeds=1,2,3]

DATA is what `mptrec-prepare` wrote, of your own files or of a built-in data set. All three train on
its training rows, in their default settings, without columns made by hand: ids are one of many for
logistic regression and codes for trees, values of bags count. The model stops early by the
validation rows, trees by rows that they put aside themselves. Prints a Markdown table: test AUC,
the model's as mean over seeds, and how far it is ahead of the better of the others, with the
standard error (DeLong's over the rows, and over the seeds).
"""

import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

from mptrec_tf.bin import program

_DATA = flags.DEFINE_list("data", None, "Directories of prepared data.")
_TASKS = flags.DEFINE_list("tasks", None, "Binary tasks. Default: all.")
_MODEL = flags.DEFINE_string("model", "mptrec", "What is pre-trained, on each task alone.")
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of the pre-training.")
flags.mark_flag_as_required("data")

LINEAR, TREES = "logistic regression", "gradient-boosted trees"
MOST_VALUES = 1000  # of bags, that trees get a column each for


def make_tables(inputs: Sequence, columns: Mapping) -> tuple:
    """Returns a split's packed rows for logistic regression, sparse [n, D], and trees, [n, C].

    Args:
      inputs: The sizes of the features of each kind.
      columns: The packed columns by name, see `mptrec_tf.data.packed`.
    """
    import scipy.sparse
    import tensorflow as tf

    linear, trees = [], []
    for of in inputs:
        values = columns[of.kind]
        if not of.rows:
            linear.append(scipy.sparse.csr_matrix(values.numpy()))
            trees.append(values.numpy())
            continue
        ragged = isinstance(values, tf.RaggedTensor)
        ids = values.flat_values.numpy() if ragged else values.numpy().ravel()
        times = values.row_lengths().numpy() if ragged else values.shape[1]
        rows = np.repeat(np.arange(values.shape[0]), times)
        shape = values.shape[0], of.rows
        linear.append(scipy.sparse.csr_matrix((np.ones(len(ids)), (rows, ids)), shape))
        if not ragged:
            trees.append(values.numpy())
        elif of.rows <= MOST_VALUES:
            trees.append(linear[-1].toarray())
    return scipy.sparse.hstack(linear).tocsr(), np.concatenate(trees, axis=1)


def predict_others(inputs: Sequence, train: Mapping, test: Mapping) -> dict[str, np.ndarray]:
    """Returns what logistic regression and trees predict for the test rows of one task, [n]."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    labels = train["labels"].numpy()[:, 0]
    models = {
        LINEAR: LogisticRegression(max_iter=2000),
        TREES: HistGradientBoostingClassifier(random_state=1),
    }
    tables = zip(make_tables(inputs, train), make_tables(inputs, test), strict=True)
    return {
        name: model.fit(of_train, labels).predict_proba(of_test)[:, 1]
        for (name, model), (of_train, of_test) in zip(models.items(), tables, strict=True)
    }


def predict_ours(data, task, seed: int) -> np.ndarray:
    """Pre-trains on one task; returns its predictions for the test rows, [n]."""
    from mptrec_tf.models.trainer import Trainer
    from mptrec_tf.training.batches import evaluate_rows, load_rows
    from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.run_context import RunContext

    config = PretrainingConfig((task.name,), _MODEL.value, training=TrainingConfig(seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        context = RunContext(folder, title=f"{data.spec.name}, {task.name}, seed {seed}")
        model, _ = pretrain(data, config, context)
    report, _, _ = evaluate_rows(Trainer(model, [task]), load_rows(data, "test", [task.name]))
    return report["prediction"][:, 0]


def compare(data, task) -> str:
    """Returns the table's line of a task."""
    from mptrec_tf.benchmark.significance import combine
    from mptrec_tf.training.batches import load_rows

    train, test = (load_rows(data, split, [task.name]).columns for split in ("train", "test"))
    labels = test["labels"].numpy()[:, 0]
    others = predict_others(data.inputs, train, test)
    scores = {name: task.score(labels, values) for name, values in others.items()}
    better = max(scores, key=scores.get)
    ours = [predict_ours(data, task, int(seed)) for seed in _SEEDS.value]
    pairs = [task.score_difference(labels, values, others[better]) for values in ours]
    ahead = combine(*zip(*pairs, strict=True))
    mean = np.mean([task.score(labels, values) for values in ours])
    cells = [
        *(data.spec.name, task.name, f"{len(train['labels']):,}", f"{len(labels):,}"),
        *(f"{score:.4f}" for score in (scores[LINEAR], scores[TREES], mean)),
        f"{ahead.mean:+.4f} ± {ahead.error:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def main(argv: list[str]) -> None:
    """Prints the table."""
    del argv
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.tasks.binary import BinaryTask

    lines = []
    for directory in _DATA.value:
        data = PreparedData(directory)
        for task in data.spec.select_tasks(_TASKS.value or data.spec.task_names):
            if isinstance(task, BinaryTask):
                lines.append(compare(data, task))
    head = ("data", "task", "training rows", "test rows", LINEAR, TREES, _MODEL.value, "ahead")
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    print("\n".join(lines))


if __name__ == "__main__":
    program.run(main)
