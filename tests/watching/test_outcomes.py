"""Labels join the requests that they belong to."""

import numpy as np
import pandas as pd
import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.watching.logged_requests import Served
from mptrec_tf.watching.outcomes import Join, Labels


def write(path, text):
    path.write_text(text)
    return [str(path)]


def make_served(ids, times, click):
    click = np.array(click, np.float32)
    predictions = {"click": click, "like": click / 2, "share": click / 4}
    ids, times = np.array(ids, object), np.array(times, np.float64)
    return Served(len(ids), times, predictions, ids, [], np.zeros(0))


def join(labels, version, *served, tolerance=60.0):
    joined = Join(labels, version.tasks, tolerance)
    for of in served:
        joined.add(of)
    return joined.finish(), joined.counts


def test_each_task_takes_the_labels_that_have_come(tmp_path, version):
    paths = write(tmp_path / "clicks.csv", "id,click\na,1\nb,0\nc,\nx,1\n")
    paths += write(tmp_path / "likes.csv", "id,like,note\nb,1,\nd,0,\n")
    labels = Labels(paths, version, ["id"])
    assert (labels.replaced, sorted(labels.values)) == (0, ["click", "like"])
    outcomes, counts = join(
        labels, version, make_served(["a", "b", "c", "d", None], [0.0] * 5, [0.1, 0.2, 0.3, 0.4, 1])
    )
    # c's label is empty: it has not come. x was not logged.
    assert outcomes["click"].labels.tolist() == [1, 0]
    np.testing.assert_allclose(outcomes["click"].predictions, [0.1, 0.2])
    assert outcomes["like"].labels.tolist() == [1, 0]
    np.testing.assert_allclose(outcomes["like"].predictions, [0.1, 0.2])
    assert (counts.without_id, counts.early, counts.several) == (1, 0, 0)


def test_a_later_label_replaces_an_earlier_one(tmp_path, version):
    text = "id,click,at\na,1,2024-10-04T10:00\na,0,2024-10-04T09:00\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"], "at")
    assert (labels.values["click"].tolist(), labels.replaced) == ([1], 1)
    without = Labels(write(tmp_path / "l.csv", text), version, ["id"])
    assert without.values["click"].tolist() == [0]


def test_a_label_belongs_to_the_newest_request_before_it(tmp_path, version):
    served = make_served(["a", "a", "a", "b", "b"], [100, 200, 300, 10, 20], [1, 2, 3, 4, 5])
    text = "id,click,at\na,1,250\nb,1,1000\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"], "at")
    outcomes, counts = join(labels, version, served, tolerance=10)
    assert outcomes["click"].predictions.tolist() == [2, 5]
    assert outcomes["click"].times.tolist() == [200, 20]
    assert (counts.early, counts.several) == (0, 0)
    # Without times nobody can know.
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"])
    outcomes, counts = join(labels, version, served)
    assert (len(outcomes["click"].labels), counts.several) == (0, 2)


def test_what_did_not_happen_has_no_time(tmp_path, version):
    text = "id,click,at\na,0,\nb,1,940\nb,0,\nc,0,NA\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"], "at")
    assert (labels.ids.tolist(), labels.values["click"].tolist()) == (["a", "b", "c"], [0, 1, 0])
    np.testing.assert_array_equal(labels.times["click"], [np.nan, 940, np.nan])
    outcomes, _ = join(labels, version, make_served(["a", "b", "c"], [1000, 900, 1000], [1, 2, 3]))
    assert outcomes["click"].predictions.tolist() == [1, 2, 3]
    table = pd.DataFrame({"id": ["a", "b"], "click": [1, 0]})
    table["at"] = pd.to_datetime(["2024-10-04T10:00", None])
    table.to_parquet(tmp_path / "l.parquet")
    labels = Labels([str(tmp_path / "l.parquet")], version, ["id"], "at")
    np.testing.assert_array_equal(labels.times["click"], [1728036000, np.nan])


def test_whole_numbers_are_ids_however_they_are_written(tmp_path, version):
    text = "id,click\n1.0,1\n2,0\n007,1\n1.5,0\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"])
    assert labels.ids.tolist() == ["1", "2", "007", "1.5"]


def test_rows_without_an_id_are_left_out(tmp_path, version):
    text = "user,item,click\nu1,i1,1\n,i2,1\nu1,,1\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["user", "item"])
    assert (labels.ids.tolist(), labels.without_id) == (["u1\x1fi1"], 2)


def test_a_request_within_the_tolerance_gets_a_label_only_if_no_earlier_one_does(tmp_path, version):
    labels = Labels(write(tmp_path / "l.csv", "id,click,at\na,1,250\n"), version, ["id"], "at")
    for times, chosen in (([200, 300], 200), ([300, 305], 305), ([100, 200, 260], 200)):
        outcomes, counts = join(labels, version, make_served(["a"] * len(times), times, times))
        assert (outcomes["click"].times.tolist(), counts.early) == ([chosen], 0)
    # Of a request without a time nobody knows.
    outcomes, counts = join(labels, version, make_served(["a", "a"], [200, np.nan], [1, 2]))
    assert (len(outcomes["click"].labels), counts.several) == (0, 1)


def test_labels_before_their_request_are_left_out_and_counted(tmp_path, version):
    text = "id,click,at\na,1,940\nb,1,939\nc,1,100\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["id"], "at")
    served = make_served(["a", "b", "c"], [1000, 1000, 1000], [0.1, 0.2, 0.3])
    outcomes, counts = join(labels, version, served, tolerance=60)
    np.testing.assert_allclose(outcomes["click"].predictions, [0.1])
    assert (counts.early, counts.earliest) == (2, 900)


def test_several_columns_may_make_an_id(tmp_path, version):
    text = "user,item,click\nu1,i1,1\nu1,i2,0\n"
    labels = Labels(write(tmp_path / "l.csv", text), version, ["user", "item"])
    served = make_served(["u1\x1fi2", "u1\x1fi1", "u2\x1fi1"], [0, 0, 0], [0.1, 0.2, 0.3])
    outcomes, _ = join(labels, version, served)
    assert outcomes["click"].labels.tolist() == [0, 1]


def test_labels_that_cannot_be_read(tmp_path, version):
    for text, message in (
        ("id,klick\na,1\n", r"l.csv holds no label of any task of .*some of the columns click, "),
        ("name,click\na,1\n", r"has no column 'id'"),
        ("id,click\na,2\n", r"line 2, column 'click': '2' is neither positive nor negative"),
    ):
        with pytest.raises(InputError, match=message):
            Labels(write(tmp_path / "l.csv", text), version, ["id"])
    table = pd.DataFrame({"id": [["a", "b"]], "click": [1]})
    table.to_parquet(tmp_path / "l.parquet")
    with pytest.raises(InputError, match=r"column 'id': .* is a list, where each row needs one"):
        Labels([str(tmp_path / "l.parquet")], version, ["id"])
    with pytest.raises(InputError, match="column 'at': 'soon' is not a time"):
        Labels(write(tmp_path / "l.csv", "id,click,at\na,1,soon\n"), version, ["id"], "at")
