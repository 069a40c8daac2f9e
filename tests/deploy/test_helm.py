"""The chart, rendered by the real helm: valid for Kubernetes, safe, and settings that the services accept."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from services.aggregator.settings import AggregatorSettings
from services.cli.topics import RETENTION
from services.cli.topics import app as topics
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.runtime.environment import load, variables
from services.runtime.settings import KafkaSettings, Settings
from tests.support import helm
from tests.support.cache import REPOSITORY
from tests.support.helm import CHART
from tests.support.kafka import Broker

FILES = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL = CHART / "ci" / "minimal-values.yaml"
SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "inference": InferenceSettings,
    "aggregator": AggregatorSettings,
    "topics": KafkaSettings,
}
KNOWN = {variable.name for kind in SETTINGS.values() for variable in variables(kind)}
each_file = pytest.mark.parametrize("values", FILES, ids=lambda path: path.stem.removesuffix("-values"))


def named(kind: str, end: str, values: Path) -> dict[str, Any]:
    """The object of this kind whose name ends so."""
    (found,) = [one for one in helm.objects(values) if one["kind"] == kind and one["metadata"]["name"].endswith(end)]
    return found


def kinds(values: Path) -> set[str]:
    return {one["kind"] for one in helm.objects(values)}


def pods(values: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, by the name of its container."""
    for one in helm.objects(values):
        spec = one["spec"]["template"]["spec"] if "template" in one.get("spec", {}) else one.get("spec", {})
        if "containers" in spec:
            yield spec["containers"][0]["name"], spec


def container(name: str, values: Path) -> dict[str, Any]:
    found: dict[str, Any] = dict(pods(values))[name]["containers"][0]
    return found


# ---- valid ----------------------------------------------------------------------------------------------------------
def test_there_are_value_files_for_all_the_ways_that_operators_install_it() -> None:
    ways = {path.stem.removesuffix("-values") for path in FILES}
    assert ways == {
        "minimal", "gpu", "s3", "sasl-tls", "keda", "no-monitoring", "air-gapped", "kerberos-in-cluster",
    }  # fmt: skip


@each_file
def test_helm_finds_nothing_to_complain_about(values: Path) -> None:
    done = helm.run("lint", str(CHART), "--strict", "--kube-version", helm.KUBERNETES, "--values", str(values))
    assert done.returncode == 0, done.stdout


@each_file
def test_kubernetes_and_the_operators_know_every_object_and_field(values: Path) -> None:
    for one in helm.objects(values):
        helm.check(one)


def test_a_field_that_nobody_knows_would_be_found() -> None:
    for kind, end in (("Deployment", "ingest"), ("ServiceMonitor", ""), ("PrometheusRule", "")):
        wrong = {**named(kind, end, MINIMAL)}
        wrong["spec"] = {**wrong["spec"], "replica": 1}
        with pytest.raises(Exception, match="replica"):
            helm.check(wrong)


# ---- safe -----------------------------------------------------------------------------------------------------------
@each_file
def test_no_pod_has_rights_that_it_does_not_need(values: Path) -> None:
    for _name, spec in pods(values):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] and security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for one in spec["containers"]:
            own = one["securityContext"]
            assert own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"] and "privileged" not in own
            assert own["capabilities"] == {"drop": ["ALL"]}
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]


@each_file
def test_every_container_has_limits_and_every_service_its_probes(values: Path) -> None:
    for name, spec in pods(values):
        (one,) = spec["containers"]
        assert {"cpu", "memory"} <= one["resources"]["limits"].keys()
        if name in ("ingest", "inference", "aggregator"):
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= one.keys()


@each_file
def test_secrets_come_from_secrets_that_exist_already(values: Path) -> None:
    assert "Secret" not in kinds(values)
    for _name, spec in pods(values):
        for variable in spec["containers"][0].get("env", []):
            secret = variable["name"].endswith(("PASSWORD", "ACCESS_KEY", "SECRET_KEY", "DECRYPTION_KEYS"))
            assert not secret or "secretKeyRef" in variable["valueFrom"]


def test_nodes_can_be_drained_one_pod_at_a_time_and_pods_are_spread_over_them() -> None:
    budgets = [one["spec"] for one in helm.objects(MINIMAL) if one["kind"] == "PodDisruptionBudget"]
    workloads = [one for one in helm.objects(MINIMAL) if one["kind"] in ("Deployment", "StatefulSet")]
    assert [one["maxUnavailable"] for one in budgets] == [1, 1, 1]
    labels = [one["spec"]["selector"]["matchLabels"] for one in workloads]
    assert sorted(map(str, labels)) == sorted(str(one["selector"]["matchLabels"]) for one in budgets)
    for one in workloads:
        (spread,) = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"]["matchLabels"] == one["spec"]["selector"]["matchLabels"]


def test_only_metrics_come_in_and_where_to_go_can_be_narrowed(tmp_path: Path) -> None:
    open_to = named("NetworkPolicy", "", MINIMAL)["spec"]
    assert open_to["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in open_to["ingress"] for port in rule["ports"]] == ["http"]
    narrow = tmp_path / "values.yaml"
    kafka = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}]}
    narrow.write_text(yaml.safe_dump({**yaml.safe_load(MINIMAL.read_text()), "networkPolicy": {"egress": [kafka]}}))
    dns, only = named("NetworkPolicy", "", narrow)["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert only == kafka
    assert "NetworkPolicy" not in {
        one["kind"] for one in yaml.safe_load_all(helm.template(MINIMAL, "--set", "networkPolicy.enabled=false").stdout)
    }


# ---- settings that the services accept ------------------------------------------------------------------------------
def rendered_settings(one: dict[str, Any], file: Path) -> dict[str, str]:
    """The environment as a container gets it: secrets made up, mounted files standing in for themselves."""
    env = {}
    for variable in one["env"]:
        value = variable.get("value", "4" if "resourceFieldRef" in variable.get("valueFrom", {}) else "made-up")
        env[variable["name"]] = str(file) if str(value).startswith("/etc/plateflow/") else value
    return env


@each_file
def test_each_service_accepts_its_settings_and_knows_all_of_them(values: Path, tmp_path: Path) -> None:
    file = tmp_path / "mounted"
    file.write_text("")
    for name, spec in pods(values):
        if name in SETTINGS:
            env = rendered_settings(spec["containers"][0], file)
            load(SETTINGS[name], env)
            assert {one for one in env if one.startswith("PLATEFLOW_")} <= KNOWN


@each_file
def test_mounted_paths_that_settings_name_are_mounted(values: Path) -> None:
    for _name, spec in pods(values):
        (one,) = spec["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
        assert set(mounts.values()) == {volume["name"] for volume in spec["volumes"]}
        for variable in one.get("env", []):
            path = str(variable.get("value", ""))
            assert not path.startswith("/") or any(path.startswith(mount) for mount in mounts), variable


def test_a_graphics_card_brings_its_image_its_limit_and_its_runtime() -> None:
    values = CHART / "ci" / "gpu-values.yaml"
    one = container("inference", values)
    assert one["image"].endswith("-inference:0.1.0-cuda")
    assert one["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert dict(pods(values))["inference"]["runtimeClassName"] == "nvidia"
    assert {"name": "PLATEFLOW_DEVICE", "value": "cuda"} in one["env"]
    assert container("ingest", values)["image"].endswith("-ingest:0.1.0")


def test_an_air_gapped_registry_serves_every_image() -> None:
    values = CHART / "ci" / "air-gapped-values.yaml"
    images = {spec["containers"][0]["image"] for _name, spec in pods(values)}
    assert len(images) == 4
    assert all(image.startswith("registry.inside.example:5000/mirror/plateflow-") for image in images)
    assert all(spec["imagePullSecrets"] == [{"name": "registry-account"}] for _name, spec in pods(values))


def test_the_backlog_decides_the_number_of_workers_where_keda_is_asked_for() -> None:
    values = CHART / "ci" / "keda-values.yaml"
    scaled = named("ScaledObject", "inference", values)["spec"]
    assert scaled["triggers"][0]["metadata"]["topic"] == "plateflow.clips"
    assert scaled["triggers"][0]["metadata"]["consumerGroup"] == "plateflow-inference"
    assert scaled["triggers"][0]["metadata"]["sasl"] == "plaintext"
    for part in ("ingest", "inference"):
        assert "replicas" not in named("Deployment", part, values)["spec"]
    assert named("HorizontalPodAutoscaler", "ingest", values)["spec"]["maxReplicas"] == 4


def test_prometheus_finds_the_services_under_the_job_names_of_the_rules() -> None:
    monitor = named("ServiceMonitor", "", MINIMAL)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    label = monitor["spec"]["jobLabel"]
    jobs = {one["metadata"]["labels"][label] for one in helm.objects(MINIMAL) if one["kind"] == "Service"}
    assert jobs == {"plateflow-ingest", "plateflow-inference", "plateflow-aggregator"}
    assert not kinds(CHART / "ci" / "no-monitoring-values.yaml") & {"ServiceMonitor", "PrometheusRule", "ConfigMap"}


def test_the_charts_rules_and_dashboards_are_the_ones_of_compose() -> None:
    rules = REPOSITORY / "deploy" / "prometheus" / "rules" / "plateflow.yml"
    assert (CHART / "files" / "rules" / "plateflow.yml").read_bytes() == rules.read_bytes()
    ours = {path.name: path.read_bytes() for path in (REPOSITORY / "deploy" / "grafana" / "dashboards").glob("*.json")}
    assert {path.name: path.read_bytes() for path in (CHART / "files" / "dashboards").glob("*.json")} == ours
    assert named("PrometheusRule", "", MINIMAL)["spec"] == yaml.safe_load(rules.read_text())
    assert named("ConfigMap", "dashboards", MINIMAL)["data"].keys() == ours.keys()


# ---- wrong values ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("kafka.brokers=", "kafka.brokers is not set"),
        ("kafka.brokers=kafka", "needs host:port"),
        ("kafka.security=TLS", "'/kafka/security': value must be one of 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT'"),
        ("kafka.security=SASL_SSL", "kafka.existingSecret is not set"),
        ("kafka.existingSecret=account", "choose SASL_SSL or SASL_PLAINTEXT"),
        ("vault.uri=", "vault.uri is not set"),
        ("vault.uri=vault.example", "needs a URL"),
        ("vault.existingSecret=", "vault.existingSecret is not set"),
        ("inference.replica=3", "'/inference': additional properties 'replica' not allowed"),
        ("inference.replicas=-1", "'/inference/replicas': minimum: got -1, want 0"),
        ("inference.replicas=7", "topics.partitions is 6"),
        ("aggregator.replicas=2", "several replicas need a shared one"),
        ("storage.volume.accessModes={ReadWriteOnce}", "lacks ReadWriteMany"),
        ("storage.s3.data=s3://results", "storage.s3.data is set, but storage.type is volume"),
        ("storage.type=nfs", "'/storage/type': value must be one of 'volume', 's3'"),
        ("topics.retention.plates=month", "'/topics/retention/plates'"),
        ("topics.partitions=0", "'/topics/partitions': minimum: got 0, want 1"),
        ("settings.PLATEFLOW_KAFKA_PASSWORD=x", "invalid propertyName 'PLATEFLOW_KAFKA_PASSWORD'"),
        ("ingest.autoscaling.type=vpa", "value must be one of 'none', 'hpa', 'keda'"),
        ("inference.autoscaling.minReplicas=9", "inference.autoscaling.minReplicas is above maxReplicas"),
    ],
)
def test_a_wrong_value_is_refused_with_words_that_say_which(wrong: str, said: str) -> None:
    done = helm.template(MINIMAL, "--set", wrong)
    assert done.returncode != 0
    assert said in done.stderr


def test_several_aggregators_are_fine_on_a_volume_that_they_share() -> None:
    values = CHART / "ci" / "sasl-tls-values.yaml"
    claim = named("PersistentVolumeClaim", "data", values)
    assert named("StatefulSet", "aggregator", values)["spec"]["replicas"] == 2
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_heatmaps_in_a_bucket_need_no_volume_and_allow_several_aggregators() -> None:
    values = CHART / "ci" / "s3-values.yaml"
    assert named("StatefulSet", "aggregator", values)["spec"]["replicas"] == 3
    assert "PersistentVolumeClaim" not in kinds(values)
    env = {one["name"]: one.get("value") for one in container("aggregator", values)["env"]}
    assert env["PLATEFLOW_DATA"] == "s3://plates/results"
    assert env["PLATEFLOW_DATA_ENDPOINT"] == "https://minio.example:9000"


# ---- hooks ----------------------------------------------------------------------------------------------------------
def test_the_topics_job_run_twice_changes_nothing(kafka: Broker, topic_prefix: str) -> None:
    job = container("topics", MINIMAL)
    assert job["args"][0] == "topics"
    env = rendered_settings(job, MINIMAL) | {
        "PLATEFLOW_KAFKA_BROKER": kafka.bootstrap,
        "PLATEFLOW_KAFKA_TOPIC_PREFIX": topic_prefix.rstrip("."),
    }
    first = CliRunner().invoke(topics, job["args"][1:], env=env)
    second = CliRunner().invoke(topics, job["args"][1:], env=env)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert first.output.count("made, 6 partitions") == len(RETENTION)
    assert "changed" not in second.output


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()
        self.wfile.write(b"no broker answers")

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.mark.parametrize(("path", "code"), [("readyz", 0), ("other", 1)])
def test_helm_test_says_which_service_is_not_ready_and_why(path: str, code: int) -> None:
    script, *addresses = container("ready", MINIMAL)["args"]
    assert [address.split(".")[0].rpartition("-")[2] for address in addresses] == ["ingest", "inference", "aggregator"]
    server = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{path}"
    done = subprocess.run(
        [sys.executable, "-c", script, address], capture_output=True, text=True, check=False, timeout=30
    )
    server.shutdown()
    server.server_close()
    assert done.returncode == code
    assert f"{address} {503 if code else 200} no broker answers" in done.stdout
