import logging

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import (
    check_base_path,
    choose_next_version,
    list_version_directories,
    list_versions,
)


@pytest.fixture
def base(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).mkdir()
        return str(tmp_path)

    return make


def test_numbers_are_read_whatever_zeros_they_have(base):
    long = "0" * 30 + "7"
    path = base("0000001", "10", "00000123", "009", "0", long, "9223372036854775807")
    assert list_version_directories(path) == {
        0: f"{path}/0",
        1: f"{path}/0000001",
        7: f"{path}/{long}",
        9: f"{path}/009",
        10: f"{path}/10",
        123: f"{path}/00000123",
        2**63 - 1: f"{path}/9223372036854775807",
    }
    assert list_version_directories(f"{path}/") == list_version_directories(path)


def test_a_name_that_is_not_a_number_of_64_bits_is_not_a_version(base):
    path = base("9223372036854775808", "1.incomplete-1a2b3c4d", "1a", "-5", "1_0", "٣", "2")
    assert list_versions(path) == [2]


def test_of_names_of_one_number_the_one_with_the_fewest_zeros_is_used_with_one_warning(
    base, caplog
):
    path = base("001", "1", "01", "0002", "02")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert list_version_directories(path) == {1: f"{path}/1", 2: f"{path}/02"}
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: {ignored} and {taken} are the same version; {taken} is used, as in TF Serving."
        for ignored, taken in (("001", "01"), ("0002", "02"), ("01", "1"))
    ]


def test_the_next_version_is_one_above_the_highest(base):
    path = base("0000009", "8")
    assert choose_next_version(path) == choose_next_version(f"{path}/") == (10, f"{path}/10")
    assert choose_next_version(f"{path}/none") == (1, f"{path}/none/1")
    path = base("9223372036854775807")
    with pytest.raises(InputError, match="there is no greater number"):
        choose_next_version(path)


def test_a_version_is_not_a_base_path(base, monkeypatch):
    path = base("0000003", "shop")
    check_base_path(path)
    check_base_path(f"{path}/none")
    for file in ("0000003/saved_model.pb", "shop/saved_model.pbtxt"):
        with open(f"{path}/{file}", "w"):
            pass
    check_base_path(path)
    monkeypatch.chdir(f"{path}/0000003")
    for given, parent in (
        (f"{path}/0000003", path),
        (f"{path}/0000003/", path),
        (".", path),
        ("../0000003", ".."),
    ):
        with pytest.raises(InputError) as raised:
            check_base_path(given)
        assert str(raised.value) == (
            f"{given} is a version of a model, not its base path; give the directory that holds "
            f"it: {parent}."
        )
    monkeypatch.chdir(path)
    with pytest.raises(InputError, match=r"the directory that holds it: \.\.$"):
        check_base_path("0000003")
    with pytest.raises(InputError, match=f"move the files to {path}/shop/1, say"):
        check_base_path(f"{path}/shop")
