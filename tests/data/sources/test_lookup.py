import numpy as np
import pytest

from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.lookup import LookupTable, read_text
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

BIG = 2**53  # the next whole number is no float64


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def read(path):
    return read_csv(path, TextFormat(delimiter=","))


def make_table(path, columns=("age",), key="user_id"):
    return LookupTable(read(path), key, {name: f"user_{name}" for name in columns}, path)


@pytest.fixture
def users(tmp_path):
    return write(
        tmp_path / "users.csv", "user_id,age,city", f"{BIG},20,Bern", f"{BIG + 1},30,", "7,40,Chur"
    )


def test_rows_get_the_columns_of_their_key(users, tmp_path):
    log = write(tmp_path / "log.csv", "user,like", "7,1", f"{BIG + 1},0", f"{BIG},1", "7,0")
    table = make_table(users, ("age", "city"))
    assert len(table) == 3
    [block] = (table.join(block, "user") for block in read(log))
    assert list(block.columns) == ["user", "like", "user_age", "user_city"]
    assert block.text("user_age").tolist() == ["40", "30", "20", "40"]
    assert block.text("user_city").tolist() == ["Chur", "", "Bern", "Chur"]
    # What was there stays, and so do places.
    assert block.text("like").tolist() == ["1", "0", "1", "0"]
    assert block.numbers("user_age").tolist() == [40, 30, 20, 40]
    assert block.where(1) == f"{log}, line 3"
    assert block.rows([2]).text("user_age").tolist() == ["20"]


def test_a_joined_column_replaces_one_of_its_name(users, tmp_path):
    log = write(tmp_path / "log.csv", "user,user_age", "7,1")
    [block] = (make_table(users).join(block, "user") for block in read(log))
    assert list(block.columns) == ["user", "user_age"]
    assert block.text("user_age").tolist() == ["40"]


def test_a_block_without_arrow_is_joined_too(users):
    columns = {"user": np.array([7, BIG + 1])}
    joined = make_table(users).join(Block(columns, "rows", np.array([1, 2])), "user")
    assert read_text(joined, "user_age").to_pylist() == ["40", "30"]


def test_a_key_that_is_missing(users, tmp_path):
    log = write(tmp_path / "log.csv", "user,like", "7,1", f"{BIG + 2},0")
    message = (
        rf"log.csv, line 3: {users} has no user_id '{BIG + 2}'; both files must be of the same rel"
    )
    with pytest.raises(InputError, match=message):
        [make_table(users).join(block, "user") for block in read(log)]


def test_a_key_that_comes_twice(tmp_path):
    lines = (f"{row},1" for row in (*range(BLOCK_ROWS), 3))  # in two blocks
    path = write(tmp_path / "users.csv", "user_id,age", *lines)
    message = (
        rf"users.csv, line {BLOCK_ROWS + 2}: user_id '3' comes twice, also in .*users.csv, line 5; "
        "remove one of them"
    )
    with pytest.raises(InputError, match=message):
        make_table(path)


def test_a_missing_column(users, tmp_path):
    with pytest.raises(InputError, match=r"users.csv has no column 'size'; it has user_id, age"):
        make_table(users, ("size",))
    log = write(tmp_path / "log.csv", "usr,like", "7,1")
    [block] = read(log)
    with pytest.raises(InputError, match=r"log.csv has no column 'user'; it has usr, like"):
        make_table(users).join(block, "user")


def test_a_table_without_rows_has_no_key(tmp_path):
    table = make_table(write(tmp_path / "users.csv", "user_id,age"))
    assert len(table) == 0
    [block] = read(write(tmp_path / "log.csv", "user", "7"))
    with pytest.raises(InputError, match=r"log.csv, line 2: .*users.csv has no user_id '7'"):
        table.join(block, "user")
