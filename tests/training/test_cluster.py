"""TF_CONFIG: which processes train together."""

import json

import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.training.cluster import (
    Cluster,
    ServerCluster,
    check_config,
    read_cluster,
    read_server_cluster,
)


def read(cluster, kind="worker", index=0):
    text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
    return read_cluster({"TF_CONFIG": text})


def test_workers():
    assert read({"worker": ["a:1", "b:1"]}, index=1) == Cluster(("a:1", "b:1"), 1)
    assert read({"worker": ["a:1", "b:1"]}).is_chief
    assert not read({"worker": ["a:1", "b:1"]}, index=1).is_chief


def test_a_chief_comes_first():
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    assert read(cluster, "chief") == Cluster(("a:1", "b:1", "c:1"), 0)
    assert read(cluster, "worker", 1) == Cluster(("a:1", "b:1", "c:1"), 2)
    assert not read(cluster).is_chief


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs the environment variable TF_CONFIG, which names .*, such as {"),
        ("{", r"TF_CONFIG should be as {.*Received: { \(JSONDecodeError"),
        ("[]", r"TF_CONFIG should be as .*Received: \[\]"),
        ('{"cluster": {"worker": ["a:1"]}}', r"should be as .*KeyError\('task'\)"),
        (
            '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
            "no list of addresses: 'a:1'",
        ),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(InputError, match=message):
        read_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "message"),
    [
        ({"worker": ["a:1"], "ps": ["b:1"]}, "worker", 0, "names a 'ps'.*leave it out"),
        ({"worker": ["a:1"]}, "evaluator", 0, "names a 'evaluator'"),
        ({"worker": ["a:1"]}, "worker", 1, "is worker 1, and its cluster has 1 of these"),
        ({"worker": ["a:1"]}, "worker", -1, "is worker -1, .*counted from 0"),
        ({"worker": ["a:1"]}, "chief", 0, "is chief 0, and its cluster has 0 of these"),
    ],
)
def test_a_process_that_the_cluster_does_not_have(cluster, kind, index, message):
    with pytest.raises(InputError, match=message):
        read(cluster, kind, index)


SERVED = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}


def read_served(cluster, kind="worker", index=0):
    text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
    return read_server_cluster({"TF_CONFIG": text})


def test_parameter_servers():
    cluster = read_served(SERVED, "ps")
    assert cluster == ServerCluster("a:1", ("b:1", "c:1"), ("d:1",), "ps", 0)
    assert cluster.to_spec() == SERVED
    assert not cluster.is_chief
    assert read_served(SERVED, "chief").is_chief


@pytest.mark.parametrize(
    ("changes", "kind", "index", "message"),
    [
        ({"ps": []}, "worker", 0, "TF_CONFIG has 1 chief, 2 worker, 0 ps"),
        ({"chief": ["a:1", "e:1"]}, "worker", 0, "needs one chief, which coordinates"),
        ({"evaluator": ["e:1"]}, "worker", 0, "'evaluator'; .* has a chief, workers and a ps only"),
        ({}, "worker", 2, "is worker 2, and its cluster has 2"),
    ],
)
def test_a_cluster_without_what_parameter_servers_need(changes, kind, index, message):
    with pytest.raises(InputError, match=message):
        read_served(SERVED | changes, kind, index)


@pytest.mark.parametrize("strategy", ["multi_worker", "parameter_server"])
def test_an_environment_without_processes(strategy):
    with pytest.raises(InputError, match=f"--strategy={strategy} needs .* TF_CONFIG"):
        check_config(strategy, {})
