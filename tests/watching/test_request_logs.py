"""Logs as servers write them, and logs that are not whole, or not of this model."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.watching.request_logs import RequestLog
from mptrec_tf.watching.watched_version import open_version

START = 20_000 * 86_400


def cut(rows, first, count):
    return {name: values[first : first + count] for name, values in rows.items()}


def read(path, version, **options):
    log = RequestLog([str(path)], version, **options)
    served = list(log.read())
    return log, served


def join(served, what):
    return np.concatenate([what(of) for of in served])


@pytest.fixture
def records(rows, predict, record):
    """30 requests of 3 rows."""
    return [
        record(cut(rows, 3 * i, 3), predict(3, 3 * i), seconds=START + 60 * i) for i in range(30)
    ]


def test_all_rows_are_read_in_order(records, rows, predict, write, version):
    log, served = read(write(records), version)
    assert sum(of.requests for of in served) == 30
    np.testing.assert_allclose(
        join(served, lambda of: of.predictions["like"]), predict(90)["like"], rtol=1e-6
    )
    assert (
        join(served, lambda of: of.times).tolist()
        == np.repeat(START + 60 * np.arange(30), 3).tolist()
    )
    names = join(served, lambda of: of.sample[0]["user_id"].numpy())
    assert [name.decode() for name in names] == list(rows["user_id"][:90])
    ages = join(served, lambda of: of.sample[0]["user_age"].numpy())
    np.testing.assert_array_equal(ages, np.asarray(rows["user_age"][:90], np.float32))
    assert (log.left_out, log.broken, dict(log.names)) == ({}, [], {"shop": 30})


def test_a_column_that_all_rows_share_is_spread(rows, predict, record, write, version):
    inputs = cut(rows, 0, 4) | {name: rows[name][:1] for name in ("user_id", "user_age")}
    _, [served] = read(write([record(inputs, predict(4))]), version)
    assert served.sample[0]["user_id"].numpy().tolist() == [rows["user_id"][0].encode()] * 4
    assert len(set(served.sample[0]["user_age"].numpy().tolist())) == 1


def test_numbers_may_be_packed_and_a_last_value_stands_for_the_rest(rows, predict, write, version):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    predicted = log.predict_log
    predicted.response.model_spec.version.value = 1
    predicted.request.model_spec.signature_name = "columns"
    for name, values in cut(rows, 0, 3).items():
        array = np.asarray(values)
        array = array.astype(object if array.dtype.kind in "OU" else np.float32)
        predicted.request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    for name, values in predict(3).items():
        proto = predicted.response.outputs[name]
        proto.CopyFrom(tf.make_tensor_proto(values.astype(np.float32)[:1]))
        proto.tensor_content, proto.float_val[:] = b"", [0.25]
        proto.tensor_shape.dim[0].size = 3
    assert predicted.request.inputs["user_age"].tensor_content
    _, [served] = read(write([log.SerializeToString()]), version)
    np.testing.assert_array_equal(served.predictions["click"], np.float32([0.25] * 3))
    np.testing.assert_array_equal(
        served.sample[0]["user_age"].numpy(), np.asarray(rows["user_age"][:3], np.float32)
    )
    assert np.isnan(served.times).all()


def make_examples(rows, count, **more):
    examples = []
    for i in range(count):
        example = tf.train.Example()
        for name, values in (rows | more).items():
            feature = example.features.feature[name]
            if isinstance(values[i], str):
                feature.bytes_list.value.append(values[i].encode())
            else:
                feature.float_list.value.append(float(values[i]))
        examples.append(example.SerializeToString())
    return {"examples": np.array(examples, object)}


def test_examples_may_hold_an_id_that_the_model_does_not_read(
    rows, predict, record, write, version
):
    inputs = make_examples(rows, 3, shown=["a", "b", "c"])
    _, [served] = read(
        write([record(inputs, predict(3), signature="")]), version, id_columns=["shown"]
    )
    assert served.ids.tolist() == ["a", "b", "c"]
    assert list(served.sample[0]) == ["examples"]


def test_examples_may_differ_in_the_type_of_an_id(rows, predict, record, write, version):
    texts = record(make_examples(rows, 2, shown=["a", ""]), predict(2), signature="")
    numbers = record(make_examples(rows, 2, shown=[9.0, 10.5]), predict(2), signature="")
    example = tf.train.Example()
    example.ParseFromString(make_examples(rows, 1)["examples"][0])
    example.features.feature["shown"].int64_list.value.append(12345678901)
    whole = {"examples": np.array([example.SerializeToString()], object)}
    whole = record(whole, predict(1), signature="")
    damaged = record({"examples": np.array([b"\xe8\xff"], object)}, predict(1), signature="")
    log, served = read(write([texts, numbers, whole, damaged]), version, id_columns=["shown"])
    ids = {text for of in served for text in of.ids.tolist()}
    assert ids == {"a", None, "9", "10.5", "12345678901"}
    assert log.left_out == {"damaged": 1}


def test_ids_are_columns_or_the_input_for_them(rows, predict, record, write, version):
    with_id = record(
        {**cut(rows, 0, 2), "request_id": ["r1"]}, predict(2), signature="columns_with_id"
    )
    without = record(cut(rows, 2, 2), predict(2))
    path = write([with_id, without])
    _, [served] = read(path, version, id_columns=["impression"])
    assert served.ids.tolist() == ["r1", "r1", None, None]
    _, [served] = read(path, version, id_columns=["impression", "item_id"])
    first, second = rows["item_id"][:2]
    assert served.ids.tolist() == [f"r1\x1f{first}", f"r1\x1f{second}", None, None]


def test_the_input_for_ids_is_one_column(rows, predict, record, write, version):
    logged = record(
        {**cut(rows, 0, 2), "request_id": ["7.0", "a.0"]}, predict(2), signature="columns_with_id"
    )
    path = write([logged])
    for columns, ids in (
        (["shown"], ["7", "a.0"]),  # 7, as a table has it whose other ids are missing
        (["shown", "place"], [None, None]),
        (["place", "request_id"], [None, None]),
    ):
        _, [served] = read(path, version, id_columns=columns)
        assert served.ids.tolist() == ids


def test_a_log_that_was_cut_short_is_read_up_to_there(records, write, version):
    path = write(records)
    path.write_bytes(path.read_bytes()[:-100])
    log, served = read(path, version)
    assert (sum(of.requests for of in served), log.broken) == (29, [str(path)])


def test_a_log_that_was_cut_short_at_its_start_stops_no_other_one(
    records, tmp_path, write, version
):
    path = write(records, "a.tfrecord")
    path.write_bytes(path.read_bytes()[:50])
    write(records, "b.tfrecord")
    log, served = read(tmp_path / "*.tfrecord", version)
    assert (sum(of.requests for of in served), log.broken) == (30, [str(path)])


def test_a_compressed_log(records, write, version):
    _, served = read(write(records, "requests.tfrecord.gz"), version)
    assert sum(of.requests for of in served) == 30


def test_records_of_another_model_are_counted(records, rows, predict, record, write, version):
    others = [
        record({"x": [1.0]}, {"y": [2.0]}),  # has none of its tasks
        record(cut(rows, 0, 1) | {"user_id": [1.0]}, predict(1)),  # a number for a text
        record(cut(rows, 0, 1), predict(1), number=2),
        record(cut(rows, 0, 1), predict(1), signature="encode"),
        record({k: v for k, v in cut(rows, 0, 1).items() if k != "hour"}, predict(1)),
        b"no log at all",
        b"",
    ]
    log, served = read(write([*others, *records]), version)
    assert sum(of.requests for of in served) == 30
    assert log.left_out == {
        "of another model": 3,
        "of another version": 1,
        "of another signature": 1,
        "damaged": 1,
        "of another kind than predict": 1,
    }


def test_a_model_of_another_name_is_left_out(records, rows, predict, record, write, version):
    other = record(cut(rows, 0, 1), predict(1), name="mall")
    path = write([*records, other])
    with pytest.raises(InputError, match=r"to several models that fit \(mall, shop\); name the"):
        read(path, version)
    log, _ = read(path, version, name="shop")
    assert (log.left_out, dict(log.names)) == ({"of another model": 1}, {"shop": 30})


def test_what_is_no_log_at_all(tmp_path, write, version):
    path = tmp_path / "rows.csv"
    path.write_text("user_id,click\nu1,0\n" * 50)
    with pytest.raises(InputError, match=r"rows.csv is no request log: it holds no whole TFRecord"):
        read(path, version)
    write([b"\xff\xff\xff"] * 600, "a.tfrecord")  # of all files together it is no matter
    path = write([b"\xff\xff\xff"] * 600, "b.tfrecord")
    assert read(path.parent / "?.tfrecord", version)[0].left_out == {"damaged": 1200}
    with pytest.raises(InputError, match="more than 1,000 records of it are no PredictionLog"):
        read(write([b"\xff\xff\xff"] * 1200), version)
    with pytest.raises(InputError, match="no file matches"):
        read(tmp_path / "none-*", version)


def test_a_file_that_is_being_written_is_passed_over(records, tmp_path, write, version):
    path = write(records, "a.tfrecord")
    write(records, "b.tfrecord.incomplete-01234567")
    log, _ = read(tmp_path / "*", version)
    assert log.files == [str(path)]
    path.unlink()
    with pytest.raises(InputError, match="is still being written; give logs that are complete"):
        read(tmp_path / "*", version)


def test_about_so_many_rows_are_sampled_always_the_same(records, write, version):
    path = write(records * 40)
    sampled = [
        join(read(path, version, most_rows=360)[1], lambda of: of.sample_times) for _ in range(2)
    ]
    assert 300 <= len(sampled[0]) <= 420
    np.testing.assert_array_equal(*sampled)


def test_two_models_in_turns_are_sampled_alike(rows, predict, record, write, version):
    pair = [record(cut(rows, 0, 1), predict(1), name=name) for name in ("shop", "mall")]
    path = write(pair * 500)
    for name in ("shop", "mall"):
        _, served = read(path, version, name=name, most_rows=100)
        assert 40 <= len(join(served, lambda of: of.sample_times)) <= 60


def test_rows_of_several_sizes_are_not_mixed(rows, predict, record, write, version):
    wide = [record(cut(rows, 0, 2) | {"user_age": np.zeros((2, n))}, predict(2)) for n in (1, 3)]
    log, [served] = read(write(wide), version)
    assert (served.requests, log.left_out) == (1, {"of another model": 1})


def test_a_version_without_a_baseline_is_rejected(exported):
    with pytest.raises(InputError) as error:
        open_version(str(exported))
    assert str(error.value) == (
        f"{exported}/1 does not hold what its training rows were like, as an earlier release of "
        "mptrec_tf trained it; train it anew to watch it (mptrec-refresh --model=...)."
    )
