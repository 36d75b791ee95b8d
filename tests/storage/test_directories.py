import subprocess
import sys

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import (
    check_absent,
    create_directory,
    create_file,
    write_file,
)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_directory_appears_when_the_block_ends(tmp_path, slash):
    with create_directory(f"{tmp_path}/new{slash}") as staging:
        write_file(f"{staging}/a.txt", "text")
        assert not (tmp_path / "new").exists()
    assert tree(tmp_path) == ["new", "new/a.txt"]
    assert (tmp_path / "new/a.txt").read_text() == "text"


def test_parents_are_made(tmp_path):
    with create_directory(f"{tmp_path}/a/b/c") as staging:
        write_file(f"{staging}/x", b"1")
    assert tree(tmp_path) == ["a", "a/b", "a/b/c", "a/b/c/x"]


def test_an_error_leaves_nothing_behind(tmp_path):
    def write():
        with create_directory(f"{tmp_path}/new") as staging:
            write_file(f"{staging}/a.txt", "text")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert tree(tmp_path) == []


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "new").mkdir()
    with create_directory(f"{tmp_path}/new") as staging:
        write_file(f"{staging}/a.txt", "text")
    assert tree(tmp_path) == ["new", "new/a.txt"]


def test_existing_content_stays(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/a.txt").write_text("mine")
    message = "old already exists; give another output directory or remove it"
    with pytest.raises(InputError, match=message), create_directory(f"{tmp_path}/old"):
        pytest.fail("the block must not run")
    assert tree(tmp_path) == ["old", "old/a.txt"]
    assert (tmp_path / "old/a.txt").read_text() == "mine"


def test_content_of_another_run_stays(tmp_path):
    def write():
        with create_directory(f"{tmp_path}/new"):
            (tmp_path / "new").mkdir()
            (tmp_path / "new/a.txt").write_text("another run's")

    with pytest.raises(InputError, match="already exists"):
        write()
    assert tree(tmp_path) == ["new", "new/a.txt"]


def test_a_file_is_not_an_output_directory(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file already exists"):
        check_absent(f"{tmp_path}/file")


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(InputError, match=r"cannot .*file/new"),
        create_directory(f"{tmp_path}/file/new"),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unknown_file_system():
    message = "cannot look into nosuch://bucket/new: .*nosuch"
    with pytest.raises(InputError, match=message), create_directory("nosuch://bucket/new"):
        pytest.fail("the block must not run")


def test_write_file_replaces(tmp_path):
    write_file(f"{tmp_path}/a", "one")
    write_file(f"{tmp_path}/a", b"two")
    assert tree(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"two"


def test_write_file_where_nothing_can_be_written(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*none/a"):
        write_file(f"{tmp_path}/none/a", "text")


def test_an_unfinished_file_leaves_the_old_one(tmp_path):
    write_file(f"{tmp_path}/a", "one")

    def write():
        with create_file(f"{tmp_path}/a") as file:
            file.write("two")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert tree(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "one"


def test_local_paths_need_no_tensorflow(tmp_path):
    code = f"""
import sys
from mptrec_tf.storage.json_files import open_description
from mptrec_tf.storage.directories import check_absent, check_writable, copy_directory
from mptrec_tf.storage.directories import create_directory, exclusive_lock, write_file
root = {str(tmp_path)!r}
check_absent(f"{{root}}/a")
check_writable(f"{{root}}/b.json")
with create_directory(f"{{root}}/a") as staging, exclusive_lock(root):
    write_file(f"{{staging}}/a.json", "[1]")
copy_directory(f"{{root}}/a", f"{{root}}/c")
with open_description(f"{{root}}/c/a.json", "missing", "again") as content:
    sys.exit(content != [1] or "tensorflow" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert tree(tmp_path) == ["a", "a/a.json", "c", "c/a.json", "lock"]
