import io

import numpy as np
import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.storage.arrays import load_arrays, save_arrays

ARRAYS = {
    "layer/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "layer/bias": np.array([np.nan, -0.0, np.inf], np.float32),
    "steps": np.array(7, np.int64),
    "none": np.zeros((0, 4), np.float32),
}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "arrays.npz"
    save_arrays(str(path), ARRAYS)
    return path


def test_arrays_come_back_bit_for_bit(stored):
    loaded = load_arrays(str(stored))
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert loaded[name].tobytes() == array.tobytes()


def test_writing_again_replaces_the_file_and_leaves_nothing_else(stored):
    save_arrays(str(stored), {"only": np.ones(2)})
    assert list(load_arrays(str(stored))) == ["only"]
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none\.npz"):
        load_arrays(str(tmp_path / "none.npz"))


def test_a_cut_file_is_damaged_wherever_it_was_cut(stored):
    whole = stored.read_bytes()
    for end in range(0, len(whole), 37):
        stored.write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"arrays\.npz is damaged .*; make it again"):
            load_arrays(str(stored))


def test_a_changed_byte_never_gives_other_numbers(stored):
    whole = stored.read_bytes()
    for at in range(len(whole)):
        stored.write_bytes(whole[:at] + bytes([whole[at] ^ 0x81]) + whole[at + 1 :])
        try:
            loaded = load_arrays(str(stored))
        except InputError:
            continue
        for name in loaded.keys() & ARRAYS.keys():  # a name may have changed
            assert loaded[name].tobytes() == ARRAYS[name].tobytes()


def test_other_files_are_rejected(tmp_path):
    path = tmp_path / "other.npz"
    one = io.BytesIO()
    np.save(one, np.ones(3))
    pickled = io.BytesIO()
    np.savez(pickled, a=np.array([{}], object))
    for content in (b"", b"text", one.getvalue(), pickled.getvalue()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"other\.npz is damaged"):
            load_arrays(str(path))


def test_arrays_may_have_any_name(tmp_path):
    arrays = {"file": np.arange(3), "allow_pickle": np.float32(2), "a/b": np.ones((2, 0))}
    save_arrays(f"{tmp_path}/x.npz", arrays)
    loaded = load_arrays(f"{tmp_path}/x.npz")
    assert loaded.keys() == arrays.keys()
    for name, value in arrays.items():
        np.testing.assert_array_equal(loaded[name], value)
        assert loaded[name].dtype == value.dtype
