import pytest

from mptrec_tf.errors import InputError
from pipelines.local import make_room


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("rows")
    with pytest.raises(InputError, match="files that this pipeline did not make"):
        make_room(str(tmp_path))
    assert (tmp_path / "data" / "precious").read_text() == "rows"


def test_what_an_earlier_run_left_is_replaced_but_for_the_model(tmp_path):
    output = tmp_path / "build"
    make_room(str(output))
    for name in ("data", "backbone", "tasks", "saved_models"):
        (output / name).mkdir()
    make_room(str(output))
    assert sorted(p.name for p in output.iterdir() if p.is_dir()) == ["saved_models"]
