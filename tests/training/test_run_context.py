import pytest

from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext


def test_defaults():
    context = RunContext("runs/one")
    assert context.logs == "runs/one/logs"
    assert (context.show_progress, context.fingerprint) == (True, "")
    assert context.memory_limit == MEMORY_LIMIT == 4_000_000_000


def test_rows_may_take_what_the_rest_leaves():
    assert RunContext("r", memory_limit=3_000_000_000).row_memory == 1_800_000_000
    assert RunContext("r", memory_limit=1_000_000_000).row_memory == 0


def test_a_child_runs_in_a_folder_of_its_own_and_likewise():
    context = RunContext("runs/one", "share", False, 123, "abc")
    child = context.child("residual")
    assert child == RunContext("runs/one/residual", "share", False, 123, "abc")
    assert child.logs == "runs/one/residual/logs"
    assert child.child("again").directory == "runs/one/residual/again"
    assert context.directory == "runs/one"


def test_a_child_with_changes():
    child = RunContext("runs/one", "share", False).child("joint", title="joint", memory_limit=5)
    assert child == RunContext("runs/one/joint", "joint", False, 5)
    with pytest.raises(TypeError, match="colour"):
        child.child("single", colour="red")


def test_children_may_share_their_logs():
    context = RunContext("runs/one", logs_directory="logs/here")
    assert context.logs == context.child("a").logs == "logs/here"
