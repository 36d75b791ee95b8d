"""What the coordinator of workers rejects and says, without any worker."""

import pytest
import tensorflow as tf

from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import make_memory_rows
from mptrec_tf.training.cluster import ServerCluster
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.coordinator import Coordinator
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext

TASKS = ("click", "like")


@pytest.fixture
def coordinator():
    cluster = ServerCluster("a:1", ("b:1", "c:1", "d:1"), ("e:1",), "chief", 0)
    return Coordinator(tf.distribute.get_strategy(), cluster)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "csrec"}, "model 'csrec' searches for its parts .* train it without --strategy"),
        (
            {"losses": {"assignment": "periodic"}},
            "workers read rows from files, and periodic assignment stores .* --assignment=online",
        ),
        (
            {"model": "mmoe", "losses": {"loss_weights": "pcgrad"}},
            "gradients are compared with each other, so that a step needs a whole batch",
        ),
    ],
)
def test_what_workers_cannot_train(prepared_synthetic, tmp_path, coordinator, fields, message):
    context = RunContext(str(tmp_path / "run"), distribution=coordinator)
    with pytest.raises(InputError, match=message):
        pretrain(PreparedData(str(prepared_synthetic)), PretrainingConfig(TASKS, **fields), context)
    assert not (tmp_path / "run").exists()


def test_environments_are_online_where_nothing_else_is_given():
    def losses(strategy, **given):
        return PretrainingConfig(TASKS, losses=given).adapt(strategy).make_losses()

    assert losses("parameter_server").assignment == "online"
    assert losses("parameter_server", assignment="periodic").assignment == "periodic"
    assert losses("multi_worker").assignment == losses(None).assignment == "periodic"
    other = PretrainingConfig(TASKS, "mmoe")
    assert other.adapt("parameter_server") == other


def test_fewer_files_than_workers(prepared_synthetic, coordinator, capsys):
    from mptrec_tf.training.batches import load_rows

    rows = load_rows(PreparedData(str(prepared_synthetic)), "train", TASKS)
    assert len(rows.files) == 1
    coordinator.check_rows(rows)
    said = capsys.readouterr().err
    assert "in 1 file and there are 3 workers, each of which reads a whole file" in said
    assert "2 will have nothing to do; prepare the data with --shards=12 or more" in said
    with pytest.raises(InputError, match="these rows are in memory alone"):
        coordinator.check_rows(make_memory_rows({"labels": tf.zeros([3, 2])}))
