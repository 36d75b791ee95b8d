"""The files that deploy TF Serving: each is valid for its reader, and they agree."""

import copy
import re
from pathlib import Path

import kubernetes_validate
import mptrec_tf  # first: it selects Keras 2
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import model_server_config_pb2

from mptrec_tf.export.warmup import LARGEST_BATCH
from mptrec_tf.serving.server.batching_parameters import (
    BatchingParameters,
    read_batching_parameters,
)
from mptrec_tf.serving.server.model_config import read_model_config
from mptrec_tf.serving.server.monitoring_config import read_metrics_path
from pipelines.defaults import TF_SERVING_TAG

FOLDER = Path(__file__).parents[2] / "saved_models"
KUBERNETES = "1.30"


def read_manifests():
    paths = sorted((FOLDER / "kubernetes").iterdir())
    return {path.stem: yaml.safe_load(path.read_text()) for path in paths}


@pytest.fixture
def deployment():
    return read_manifests()["deployment"]


@pytest.fixture
def pod(deployment):
    return deployment["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    [container] = pod["containers"]
    return container


@pytest.fixture
def compose():
    return yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())


def test_models_config_is_what_tf_serving_reads():
    content = text_format.Parse(
        (FOLDER / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    [config] = content.model_config_list.config
    assert (config.name, config.base_path) == ("mptrec", "/models/mptrec")
    assert config.model_platform == "tensorflow"
    assert set(config.version_labels) == {"stable", "canary"}
    # A label of a version that is not served would reject every request.
    served = set(config.model_version_policy.specific.versions)
    assert set(config.version_labels.values()) <= served


def test_the_logged_configuration_is_the_same_with_logs():
    plain, logged = (
        text_format.Parse(
            (FOLDER / name).read_text(), model_server_config_pb2.ModelServerConfig()
        ).model_config_list.config[0]
        for name in ("models.config", "models_logged.config")
    )
    assert logged.logging_config.log_collector_config.filename_prefix == "/logs/requests"
    assert logged.logging_config.sampling_config.sampling_rate == 0.01
    logged.ClearField("logging_config")
    assert logged == plain
    configs = [
        read_model_config(str(FOLDER / name))[0]
        for name in ("models.config", "models_logged.config")
    ]
    assert [config.logged for config in configs] == [False, True]


def test_the_local_server_reads_the_same_files():
    [config] = read_model_config(str(FOLDER / "models.config"))
    assert config.labels == {"stable": 1, "canary": 2}
    assert config.choose_versions([1, 2, 3]) == [1, 2]
    batching = read_batching_parameters(
        str(FOLDER / "batching_parameters.txt"), BatchingParameters()
    )
    assert batching == BatchingParameters(512, 0.001, 4, 100)
    assert read_metrics_path(str(FOLDER / "monitoring.config")) == "/monitoring/prometheus/metrics"
    assert batching.max_batch_size == LARGEST_BATCH


def make_monitoring_config():
    """Makes TF Serving's MonitoringConfig, which tensorflow-serving-api leaves out."""
    file = descriptor_pb2.FileDescriptorProto(name="monitoring.proto", package="t", syntax="proto3")
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=8, label=1)
    prometheus.field.add(name="path", number=2, type=9, label=1)
    config = file.message_type.add(name="MonitoringConfig")
    config.field.add(
        name="prometheus_config", number=1, type=11, label=1, type_name=".t.PrometheusConfig"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("t.MonitoringConfig")
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and newer
        return message_factory.GetMessageClass(descriptor)()
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)()


def test_metrics_are_where_prometheus_looks(deployment, container, compose):
    text = (FOLDER / "monitoring.config").read_text()
    config = text_format.Parse(text, make_monitoring_config()).prometheus_config
    assert config.enable
    [job] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert config.path == job["metrics_path"] == annotations["prometheus.io/path"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    [target] = job["static_configs"][0]["targets"]
    service, _, port = target.partition(":")
    assert service in compose["services"]
    assert port == str(ports["rest"])


@pytest.mark.parametrize("name", sorted(read_manifests()))
def test_manifests_are_what_kubernetes_takes(name):
    kubernetes_validate.validate(read_manifests()[name], KUBERNETES, strict=True)


def test_a_broken_manifest_is_rejected(deployment):
    for change in (
        lambda spec: spec.update(replica=2),
        lambda spec: spec["template"]["spec"]["containers"][0].update(ports="8500"),
        lambda spec: spec.pop("selector"),
    ):
        broken = copy.deepcopy(deployment)
        change(broken["spec"])
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_all_manifests_are_applied_and_configured_by_the_tracked_files():
    content = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert content["kind"] == "Kustomization"
    assert {Path(path).stem for path in content["resources"]} == set(read_manifests())
    for path in content["resources"]:
        assert (FOLDER / path).exists()
    [generated] = content["configMapGenerator"]
    for name in generated["files"]:
        assert (FOLDER / name).exists()
    [volume] = [
        v for v in read_manifests()["deployment"]["spec"]["template"]["spec"]["volumes"]
        if "configMap" in v
    ]
    assert volume["configMap"]["name"] == generated["name"]
    assert content["generatorOptions"]["disableNameSuffixHash"]


def test_service_autoscaler_and_budget_mean_the_deployment(deployment, container):
    by_name = read_manifests()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert by_name["service"]["spec"]["selector"].items() <= labels.items()
    budget = by_name["disruption_budget"]["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    target = by_name["autoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    # A budget that allows nothing to leave would block every drained node.
    assert budget["maxUnavailable"] < by_name["autoscaler"]["spec"]["minReplicas"]
    assert "replicas" not in deployment["spec"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in by_name["service"]["spec"]["ports"]} == names


def test_readiness_is_that_of_a_label_that_is_served(container):
    [config] = read_model_config(str(FOLDER / "models.config"))
    for probe in ("startupProbe", "readinessProbe"):
        path = container[probe]["httpGet"]["path"]
        _, _, _, model, labels, label, what = path.split("/")
        assert (model, labels, what) == (config.name, "labels", "metadata")
        assert label in config.labels
    # A broken version must not restart a server that serves another.
    assert "httpGet" not in container["livenessProbe"]


def test_nothing_is_root_or_can_write(pod, container, compose):
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert not pod["automountServiceAccountToken"]
    for each in (container, *pod["initContainers"]):
        own = each["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        assert own["capabilities"] == {"drop": ["ALL"]}
        writable = {m["name"] for m in each["volumeMounts"] if not m.get("readOnly")}
        scratch = {v["name"] for v in pod["volumes"] if "emptyDir" in v}
        assert writable == (scratch if each is container else set())
        assert each["resources"]["limits"].keys() == {"cpu", "memory"}
    for service in compose["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    for name in ("serving", "verify"):
        service = compose["services"][name]
        assert not service["user"].startswith("0")
        assert all(volume.endswith(":ro") for volume in service["volumes"])


def test_compose_and_kubernetes_start_the_same_server(container, compose):
    serving = compose["services"]["serving"]
    assert serving["image"] == container["image"]
    assert not serving["image"].endswith("latest")
    assert serving["entrypoint"] == container["command"] == ["tensorflow_model_server"]
    assert serving["command"] == container["args"]
    given = dict(flag.removeprefix("--").split("=") for flag in container["args"])
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert (given["port"], given["rest_api_port"]) == (ports["grpc"], ports["rest"])
    mounted = {m["mountPath"] for m in container["volumeMounts"]}
    for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file"):
        folder, _, name = given[flag].rpartition("/")
        assert folder in mounted
        assert (FOLDER / name).exists()
    [config] = read_model_config(str(FOLDER / "models.config"))
    assert config.base_path in mounted
    targets = {volume.split(":")[1] for volume in serving["volumes"]}
    assert {"/config", config.base_path} <= targets


def test_versions_are_verified_before_they_are_served(deployment, compose):
    [init] = deployment["spec"]["template"]["spec"]["initContainers"]
    verify = compose["services"]["verify"]
    [condition] = compose["services"]["serving"]["depends_on"].values()
    assert condition == {"condition": "service_completed_successfully"}
    assert init["image"] == verify["image"] == f"mptrec-verify:{mptrec_tf.__version__}"
    [config] = read_model_config(str(FOLDER / "models.config"))
    assert init["args"] == verify["command"] == [f"--model={config.base_path}"]
    assert {m["mountPath"] for m in init["volumeMounts"]} == {config.base_path, "/config"}
    assert {volume.split(":")[1] for volume in verify["volumes"]} == {config.base_path, "/config"}
    image = (FOLDER / "verify.Dockerfile").read_text()
    assert verify["build"] == {"context": "..", "dockerfile": "saved_models/verify.Dockerfile"}
    assert f"-t {init['image']} ." in image
    assert 'ENTRYPOINT ["mptrec-verify"]' in image
    for source in " ".join(re.findall(r"COPY (.*) \S+\n", image)).split():
        assert (FOLDER.parent / source).exists()
    # tests/bin/test_early_errors.py shows that it imports no others.
    [names] = re.findall(r"grep -E '\^\((.*)\)=='", image)
    lock = (FOLDER.parent / "requirements" / "stack-b.txt").read_text()
    for name in names.split("|"):
        assert re.search(f"^{name}==", lock, re.MULTILINE), name


def test_signed_versions_need_one_line_more():
    """The line is in both files, as a comment."""
    for path in (FOLDER / "docker-compose.yaml", FOLDER / "kubernetes" / "deployment.yaml"):
        text = path.read_text()
        assert text.count("# - --public_key=") == 1
        content = yaml.safe_load(text.replace("# - --public_key=", "- --public_key="))
        if path.stem == "deployment":
            kubernetes_validate.validate(content, KUBERNETES, strict=True)
            [verify] = content["spec"]["template"]["spec"]["initContainers"]
            given = verify["args"]
        else:
            given = content["services"]["verify"]["command"]
        assert given[1:] == ["--public_key=/config/public_key.pem"]


def test_the_image_is_as_new_as_the_tensorflow_that_exports(container):
    stacks = sorted((FOLDER.parent / "requirements").glob("stack-*.txt"))
    assert len(stacks) == 2
    exporting = []
    for stack in stacks:
        [version] = re.findall(r"^tensorflow==(\d+)\.(\d+)", stack.read_text(), re.MULTILINE)
        exporting.append(tuple(map(int, version)))
    name, _, tag = container["image"].partition(":")
    assert name == "tensorflow/serving"
    assert tuple(map(int, tag.split(".")[:2])) >= max(exporting)
    # A candidate is checked with what will serve it.
    assert tag == TF_SERVING_TAG


def test_flags_of_tf_serving_that_the_local_server_has_are_called_the_same(container):
    from absl import flags

    from mptrec_tf.bin import serve  # noqa: F401

    ours = {flag.name for flag in flags.FLAGS.flags_by_module_dict()["mptrec_tf.bin.serve"]}
    given = {flag.removeprefix("--").split("=")[0] for flag in container["args"]}
    # Accepted, though it does nothing there.
    assert given - ours == {"allow_version_labels_for_unavailable_models"}
