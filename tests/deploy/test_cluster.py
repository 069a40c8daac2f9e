"""The chart on a real Kubernetes API server: every object is accepted, and a release lives through its whole life."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_helm import FILES, MINIMAL
from tests.support import cluster as cluster_support
from tests.support import helm
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
NAMESPACE = "plates"
NO_FAULT = "SessionAffinity is ignored for headless services"
"""Kubernetes 1.34.0 says so of every headless service, also where nothing sets an affinity."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With the operators' definitions, and a namespace in which only pods without any rights are admitted."""
    if not cluster_support.built():
        pytest.skip("no Kubernetes API server here: build one by `python -m tests.support.cluster` (a quarter hour)")
    cluster = Cluster(tmp_path_factory.mktemp("cluster")).start()
    try:
        for file in helm.definitions():
            definition = yaml.safe_load(file.read_text())
            cluster.apply(cluster.path_of(definition, ""), definition).raise_for_status()
        restricted = {f"pod-security.kubernetes.io/{how}": "restricted" for how in ("enforce", "warn")}
        space: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        space["metadata"]["labels"] = restricted
        cluster.apply("/api/v1/namespaces", space).raise_for_status()
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.parametrize("values", FILES, ids=lambda path: path.stem.removesuffix("-values"))
def test_the_api_server_accepts_every_object_and_knows_every_field(cluster: Cluster, values: Path) -> None:
    """Pods are held to the restricted standard: what would be warned of is an error here."""
    for one in helm.objects(values):
        answer = cluster.apply(cluster.path_of(one, NAMESPACE), one, dry_run=True)
        assert answer.is_success, f"{one['kind']} {one['metadata']['name']}: {answer.text}"
        warnings = [text for text in answer.headers.get_list("warning") if NO_FAULT not in text]
        assert not warnings, f"{one['kind']}: {warnings}"


def test_the_api_server_would_refuse_an_unknown_field_and_a_pod_with_rights(cluster: Cluster) -> None:
    (pod,) = [one for one in helm.objects(MINIMAL) if one["kind"] == "Pod"]
    path = cluster.path_of(pod, NAMESPACE)
    unknown = {**pod, "spec": {**pod["spec"], "restart": "Never"}}
    assert "restart" in cluster.apply(path, unknown, dry_run=True).text
    root = {**pod, "spec": {**pod["spec"], "securityContext": {"runAsUser": 0}}}
    assert cluster.apply(path, root, dry_run=True).status_code == 403


def release(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """helm on this cluster; hooks are left out, since nothing would run them."""
    return helm.run(*words, "--namespace", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig))


def names(cluster: Cluster, kind: str) -> set[str]:
    answer = cluster.client.get(f"/api/v1/namespaces/{NAMESPACE}/{kind}").raise_for_status()
    return {one["metadata"]["name"] for one in answer.json()["items"]}


def generation(cluster: Cluster, name: str) -> int:
    answer = cluster.client.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}").raise_for_status()
    number: int = answer.json()["metadata"]["generation"]
    return number


def test_install_upgrade_rollback_and_uninstall_keep_the_volumes(cluster: Cluster) -> None:
    chart = [str(helm.CHART), "--values", str(MINIMAL), "--no-hooks"]
    installed = release(cluster, "install", "demo", *chart)
    assert installed.returncode == 0, installed.stderr
    assert "helm test demo" in installed.stdout
    before = generation(cluster, "demo-plateflow-inference")

    assert release(cluster, "upgrade", "demo", *chart).returncode == 0
    assert generation(cluster, "demo-plateflow-inference") == before, "the same values change nothing"
    assert release(cluster, "upgrade", "demo", *chart, "--set", "inference.replicas=4").returncode == 0
    assert generation(cluster, "demo-plateflow-inference") == before + 1
    assert release(cluster, "rollback", "demo", "1", "--no-hooks").returncode == 0
    assert generation(cluster, "demo-plateflow-inference") == before + 2

    refused = release(cluster, "upgrade", "demo", *chart, "--set", "aggregator.replicas=2")
    assert refused.returncode != 0
    assert "several replicas need a shared one" in refused.stderr

    volumes = names(cluster, "persistentvolumeclaims")
    assert volumes == {"demo-plateflow-data", "demo-plateflow-store"}
    assert release(cluster, "uninstall", "demo", "--no-hooks").returncode == 0
    assert names(cluster, "persistentvolumeclaims") == volumes
    assert not names(cluster, "services")
