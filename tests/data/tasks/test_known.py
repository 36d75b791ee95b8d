"""What the best possible predictions reach, by hand."""

import numpy as np
import pytest

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.ordinal import OrdinalTask
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.errors import InputError
from mptrec_tf.inference.scoring import evaluate

WATCH = RegressionTask("watch", "seconds", known_mean="mean", known_median="median")
STARS = OrdinalTask("stars", "stars", levels=("1", "2", "4"), known_probability="p")
ENDING = ClassesTask("ending", "ending", values=("a", "b"), others=True, known_probability="q")


def test_binary():
    labels, known = np.array([0, 1, 1]), np.array([0.5, 0.25, 0.75])
    metrics = BinaryTask("b", "b", "1").metrics(
        labels, np.full(3, 0.5), users=np.array([1, 1, 2]), known=known
    )
    assert metrics["best_auc"] == 0.5
    assert metrics["best_log_loss"] == pytest.approx(-np.log([0.5, 0.25, 0.75]).mean())
    assert metrics["best_grouped_auc"] == 0.0


def test_regression_by_mean_and_median():
    labels = np.array([1.0, 2.0, 6.0])
    known = np.array([[2.0, 1.0], [3.0, 2.0], [1.0, 4.0]])
    metrics = WATCH.metrics(labels, np.ones(3), known=known)
    assert metrics["best_concordance"] == pytest.approx(1 / 3)  # of three pairs, one is in order
    assert metrics["best_rmse"] == pytest.approx(np.sqrt((1 + 1 + 25) / 3))
    assert metrics["best_mae"] == pytest.approx(2 / 3)
    assert metrics["best_rank_correlation"] == pytest.approx(-0.5)
    alone = WATCH.metrics(labels, np.ones(3), known=known[:, 0])
    assert "best_mae" not in alone
    assert alone["best_rmse"] == metrics["best_rmse"]
    assert not any(name.startswith("best") for name in WATCH.metrics(labels, labels))


def test_ordinal():
    task = STARS.fit_values({"1": 1, "2": 1, "4": 1})
    known = np.array([[0.5, 0.1, 0.4], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4]])
    metrics = task.metrics(np.array([1.0, 4.0, 2.0]), np.ones(3), known=known)
    # Expected levels: 2.3, 2.7, 2.5. Median levels: 1, 2, 2. Likeliest: 1, 2, 4.
    assert metrics["best_concordance"] == 1.0
    assert metrics["best_rank_correlation"] == pytest.approx(1.0)
    assert metrics["best_mae"] == pytest.approx(2 / 3)
    assert metrics["best_accuracy"] == pytest.approx(1 / 3)
    assert metrics["best_log_loss"] == pytest.approx(-np.log([0.5, 0.4, 0.3]).mean())


def test_classes():
    known = np.array([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.4, 0.2, 0.4], [0.6, 0.2, 0.2]])
    metrics = ENDING.metrics(np.array([0, 1, 2, 1]), np.full((4, 3), 1 / 3), known=known)
    areas = np.array([2 / 3, (1 + 1 + 1 + 0 + 0.5 + 0) / 4, 1.0])  # of each class, by hand
    areas[1] = ((np.array([0.3, 0.2]) < 0.6).sum() + 0.5) / 4  # 0.2 of the class: below, and a tie
    assert metrics["best_auc"] == pytest.approx((areas * [1, 2, 1]).sum() / 4)
    assert metrics["best_macro_auc"] == pytest.approx(areas.mean())
    assert metrics["best_accuracy"] == 0.5
    assert metrics["best_log_loss"] == pytest.approx(-np.log([0.5, 0.6, 0.4, 0.2]).mean())


def test_known_columns_are_no_features_and_make_no_other_rule():
    assert WATCH.known_columns == ("mean", "median")
    assert STARS.known_columns == ("p_1", "p_2", "p_4")
    assert ENDING.known_columns == ("q_a", "q_b", "q_others")
    for task in (WATCH, STARS, ENDING):
        assert task_from_plain(task.to_plain()) == task
        with pytest.raises(InputError, match=f"column '{task.known_columns[-1]}' is a known "):
            DatasetSpec("d", (Categorical(task.known_columns[-1]),), (task,))
    assert WATCH.same_rule(RegressionTask("watch", "seconds"))
    assert STARS.same_rule(OrdinalTask("stars", "stars", levels=("1", "2", "4")))
    assert "known_mean" not in RegressionTask("watch", "seconds").to_plain()


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (RegressionTask("t", "y", known_median="m"), "known_median needs known_mean too"),
        (OrdinalTask("t", "y", known_probability="p"), "needs the levels; list them under levels"),
        (ClassesTask("t", "y", known_probability="p"), "needs the classes; list them under values"),
    ],
)
def test_problems(task, sentence):
    assert any(sentence in problem for problem in task.problems(()))


def test_evaluation_reads_them_of_the_rows_that_have_a_label():
    """A model that predicts 1 and a uniform distribution, whatever the row is."""
    watch = RegressionTask(
        "watch", "seconds", where={"click": 1}, known_mean="mean", known_median="median"
    )
    spec = DatasetSpec("d", (Categorical("city"),), (watch, ENDING))

    class Source:
        def __init__(self):
            self.spec = spec

        def shards(self, split):
            return [split]

        def read(self, shard):
            columns = {
                "city": np.array(["x"] * 3, object),
                "click": np.array([1, 0, 1]),
                "seconds": np.array(["3", "", "5"], object),
                "mean": np.array([4.0, 9.0, 7.0]),
                "median": np.array([3.5, 9.0, 4.0]),
                "ending": np.array(["a", "b", "z"], object),
                **{f"q_{name}": np.array([0.5, 0.25, 0.25]) for name in ("a", "b", "others")},
            }
            yield Block(columns, shard, np.arange(1, 4), "row")

    class Model:
        def __init__(self):
            self.spec, self.path = spec, "m"

        def predict(self, block):
            return {"watch": np.ones(len(block)), "ending": np.full((len(block), 3), 1 / 3)}

    metrics = evaluate(Model(), Source(), "test")
    assert metrics["watch"]["rows"] == 2
    assert metrics["watch"]["best_rmse"] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert metrics["watch"]["best_mae"] == pytest.approx(0.75)
    assert metrics["ending"]["best_log_loss"] == pytest.approx(-np.log([0.5, 0.25, 0.25]).mean())
