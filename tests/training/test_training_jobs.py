"""The manifests of training jobs are what Kubeflow's training operator and Kubernetes read.

Kubernetes' own schemas come with kubernetes-validate. That of a TFJob, below, is as much of
manifests/base/crds/kubeflow.org_tfjobs.yaml in github.com/kubeflow/training-operator (v1) as is not
a pod's; its lists of values are those that the fields' descriptions give.
"""

import copy
import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from mptrec_tf.training.cluster import PARAMETER_SERVER, STRATEGIES

FOLDER = Path(__file__).parents[2] / "docs/training_jobs"
KUBERNETES = "1.30"
_COUNT = {"type": "integer"}
_RUN_POLICY = {
    "activeDeadlineSeconds": _COUNT,
    "backoffLimit": _COUNT,
    "cleanPodPolicy": {"enum": ["All", "Running", "None"]},
    "schedulingPolicy": {"type": "object"},
    "suspend": {"type": "boolean"},
    "ttlSecondsAfterFinished": _COUNT,
}
_REPLICAS = {
    "replicas": {"type": "integer", "minimum": 1},
    "restartPolicy": {"enum": ["Always", "OnFailure", "Never", "ExitCode"]},
    "template": {"type": "object"},
}


def of(properties, *required):
    """The schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


ROLES = ("Chief", "Master", "Worker", "PS", "Evaluator")
TF_JOB = of(
    {
        "apiVersion": {"const": "kubeflow.org/v1"},
        "kind": {"const": "TFJob"},
        "metadata": {"type": "object"},
        "spec": of(
            {
                "enableDynamicWorker": {"type": "boolean"},
                "runPolicy": of(_RUN_POLICY),
                "successPolicy": {"type": "string"},
                "tfReplicaSpecs": of(dict.fromkeys(ROLES, of(_REPLICAS, "template"))),
            },
            "tfReplicaSpecs",
        ),
    },
    "apiVersion",
    "kind",
    "metadata",
    "spec",
)


def check(job):
    """Raises an error where the operator or Kubernetes would not take a job."""
    jsonschema.validate(job, TF_JOB)
    for replicas in job["spec"]["tfReplicaSpecs"].values():
        # A pod's template has no schema of its own that is strict: a replica set has it.
        labels = {"app": "any"}
        template = {"metadata": {"labels": labels}, **replicas["template"]}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        whole = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": job["metadata"]}
        kubernetes_validate.validate(whole | {"spec": spec}, KUBERNETES, strict=True)


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return request.param


@pytest.fixture
def job(strategy):
    return yaml.safe_load((FOLDER / f"{strategy}.yaml").read_text())


def test_there_is_one_for_each_strategy():
    assert {path.stem for path in FOLDER.iterdir()} == set(STRATEGIES)


def test_schemas(job):
    check(job)


def test_mistakes_are_found(job):
    [first, *_] = job["spec"]["tfReplicaSpecs"]

    def break_it(change):
        broken = copy.deepcopy(job)
        change(broken["spec"]["tfReplicaSpecs"])
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(broken)

    break_it(lambda roles: roles.update(Server=roles[first]))
    break_it(lambda roles: roles[first].update(restartPolicy="Sometimes"))
    break_it(lambda roles: roles[first]["template"]["spec"].update(container=[]))


def test_every_pod_runs_the_same_command(job, strategy):
    roles = job["spec"]["tfReplicaSpecs"]
    containers = [of["template"]["spec"]["containers"] for of in roles.values()]
    assert all(len(some) == 1 for some in containers)
    commands = [some[0]["command"] for some in containers]
    assert commands == [commands[0]] * len(roles)
    assert f"--strategy={strategy}" in commands[0]
    # The operator finds its container and its port by these names.
    assert {some[0]["name"] for some in containers} == {"tensorflow"}
    assert {port["name"] for some in containers for port in some[0]["ports"]} == {"tfjob-port"}
    names = {flag.partition("=")[0].removeprefix("--") for flag in commands[0][1:]}
    program = (FOLDER.parents[1] / "mptrec_tf/bin/pretrain.py").read_text()
    shapes = (FOLDER.parents[1] / "mptrec_tf/models/shapes.py").read_text()
    assert not {name for name in names if not re.search(rf'"{name}"|\b{name}:', program + shapes)}


def test_roles(job, strategy):
    roles = job["spec"]["tfReplicaSpecs"]
    if strategy == PARAMETER_SERVER:
        assert roles.keys() == {"Chief", "Worker", "PS"}
        assert roles["Chief"]["replicas"] == 1
    else:
        assert roles.keys() == {"Worker"}
    # What ends with status 1 is started again, and goes on after the last epoch.
    assert {of["restartPolicy"] for of in roles.values()} == {"OnFailure"}
