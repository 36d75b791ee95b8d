import json
import math

import numpy as np

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.evaluation.report import make_metric_tables, print_table, to_json

TASK = BinaryTask("buy", "bought", positive="1")
LABELS = np.array([0, 1, 1, 0])
PROBABILITIES = np.array([0.2, 0.9, 0.4, 0.5], np.float32)


def test_metrics_of_a_task_hold_what_the_data_allow():
    plain = TASK.metrics(LABELS, PROBABILITIES)
    assert list(plain) == ["rows", "positives", "auc", "log_loss", "calibration", "ece"]
    assert (plain["rows"], plain["positives"], plain["auc"]) == (4, 2, 0.75)
    full = TASK.metrics(LABELS, PROBABILITIES, users=np.array([1, 1, 2, 2]), known=LABELS)
    assert full["grouped_auc"] == 0.5
    assert full["best_auc"] == 1.0


def test_json_has_null_where_a_metric_is_undefined():
    written = to_json({"a": math.nan, "b": [1.5, math.inf], "c": {"d": "x"}})
    assert json.loads(written) == {"a": None, "b": [1.5, None], "c": {"d": "x"}}


def test_table_shows_every_column_and_a_dash_for_what_is_missing(capsys):
    print_table([{"task": "a", "auc": 0.75}, {"task": "b", "auc": math.nan, "rows": 1200}], "T")
    printed = capsys.readouterr().out
    assert "0.7500" in printed
    assert "1,200" in printed
    assert printed.count(" - ") == 2


def test_tasks_of_a_kind_share_a_table_with_the_best_values_beside_their_metrics():
    rows = [
        {"task": "a", "auc": 0.7, "ece": 0.1, "best_auc": 0.8},
        {"task": "b", "rmse": 3.0, "best_rmse": 2.0},
        {"task": "c", "auc": 0.6},
    ]
    kinds = {"a": "binary", "b": "regression", "c": "binary"}
    assert make_metric_tables(rows, kinds, "m") == [
        ("m: binary", [rows[0], rows[2]]),
        ("m: regression", [rows[1]]),
    ]
    [(title, [row])] = make_metric_tables(rows[:1], kinds, "m")
    assert title == "m"
    assert list(row) == ["task", "auc", "best_auc", "ece"]
