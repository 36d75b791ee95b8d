"""Workers and parameter servers notice their coordinator's end; the coordinator notices theirs."""

import socket
import threading

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.training import servers
from mptrec_tf.training.cluster import ServerCluster


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(servers, "_POLL_SECONDS", 0.01)


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def cluster(listening):
    taken = listening[1]
    return ServerCluster(taken, (taken,), (taken,), "worker", 0)


def test_an_address(listening):
    server, address = listening
    assert servers.answers(address)
    server.close()
    assert not servers.answers(address)
    assert not servers.answers("no address")


def test_a_worker_after_the_end(cluster):
    assert "has ended already" in servers.serve_until_the_end(cluster, lambda: True)


def test_an_address_that_is_taken(cluster):
    with pytest.raises(InputError, match=r"worker 0 cannot listen at 127.0.0.1:\d+: "):
        servers.serve_until_the_end(cluster, lambda: False)


@pytest.mark.parametrize("finished", [True, False])
def test_the_end_is_that_of_a_coordinator_that_was_there(listening, finished):
    server, address = listening
    asked = threading.Event()

    def is_finished():
        asked.set()
        return finished

    thread = threading.Thread(target=servers._wait_for_end, args=(address, is_finished))
    thread.start()
    connection, _ = server.accept()
    connection.close()
    server.close()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert not asked.is_set()  # as it was seen


def test_workers_that_go_and_come(listening, capsys):
    server, address = listening
    spoken, said = threading.Condition(), []

    def note(sentence):
        with spoken:
            said.append(sentence)
            spoken.notify()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(servers, "note", note)
        with servers.WatchWorkers([address]):
            server.close()
            with spoken:
                assert spoken.wait_for(lambda: len(said) == 1, timeout=60)
            port = int(address.rpartition(":")[2])
            with socket.create_server(("127.0.0.1", port)), spoken:
                assert spoken.wait_for(lambda: len(said) == 2, timeout=60)
    assert said[0].startswith(f"worker 0 at {address} ended or does not answer; the training waits")
    assert said[1] == f"worker 0 at {address} is back, and gets files again."
