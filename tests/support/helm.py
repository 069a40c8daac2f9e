"""The real helm, built once by the Go toolchain, and the schemas that Kubernetes objects are checked against.

Kubernetes' own schemas come from the package kubernetes-validate; those of Prometheus' operator and of KEDA are read
out of their definitions (CRDs), fetched as Go modules.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from tests.support.cache import REPOSITORY, cached, run_quietly
from tests.support.s3 import go

CHART = REPOSITORY / "helm" / "plateflow"
VERSION = "v3.19.2"
MODULE = f"helm.sh/helm/v3/cmd/helm@{VERSION}"
KUBERNETES = "1.34.0"
"""What the chart is rendered for."""
SCHEMAS = ("1.27", "1.34", "1.37")
"""Kubernetes versions whose schemas everything must fit."""
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
KEDA = "github.com/kedacore/keda/v2@v2.18.0"
MODULES = {"prometheus-operator-v0.85.0": OPERATOR, "keda-v2.18.0": KEDA}
DEFINITIONS = {
    OPERATOR: (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    KEDA: ("config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"),
}


def binary() -> Path:
    """helm's executable."""
    return cached(f"helm-{VERSION}", _build) / "helm"


def _build(folder: Path) -> None:
    settings = {"GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    run_quietly([go(), "install", "-ldflags=-s -w", MODULE], extra_env=settings)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """helm with these words; it sees no cluster, whatever this machine's settings say."""
    with tempfile.TemporaryDirectory() as home:
        env = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": "/dev/null"}
        return subprocess.run([str(binary()), *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def template(values: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run("template", "demo", str(CHART), "--namespace", "plates", "--kube-version", KUBERNETES,
               "--values", str(values), *more)  # fmt: skip


@cache
def objects(values: Path) -> Sequence[dict[str, Any]]:
    """Everything that the chart renders to, hooks and tests included. AssertionError with helm's words."""
    done = template(values)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def check(thing: dict[str, Any]) -> None:
    """Raises where Kubernetes, the operator or KEDA would refuse it, or not know a field of it."""
    if "." in thing["apiVersion"].split("/")[0] and thing["kind"] in _custom():
        jsonschema.validate(thing, _custom()[thing["kind"]])
        return
    for version in SCHEMAS:
        kubernetes_validate.validate(thing, version, strict=True)


@cache
def _custom() -> dict[str, dict[str, Any]]:
    found = {}
    for file in definitions():
        definition = yaml.safe_load(file.read_text())
        schema = strict(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        found[definition["spec"]["names"]["kind"]] = schema
    return found


def strict(schema: Any) -> Any:
    """The schema, refusing fields that it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if isinstance(schema, str):
        return schema.replace("^(?i)", "(?i)^")  # Go lets the flag stand anywhere
    if not isinstance(schema, dict):
        return schema
    own = {name: strict(value) for name, value in schema.items()}
    known = isinstance(own.get("properties"), dict) and own.get("type") == "object"
    return {"additionalProperties": False, **own} if known else own


def definitions() -> list[Path]:
    """The definitions of the kinds that are not Kubernetes' own."""
    folders = [cached(name, partial(_fetch, module)) for name, module in MODULES.items()]
    return [file for folder in folders for file in sorted(folder.glob("*.yaml"))]


def _fetch(module: str, folder: Path) -> None:
    words = [go(), "mod", "download", "-json", module]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} failed:\n{done.stdout}\n{done.stderr}")
    for file in DEFINITIONS[module]:
        shutil.copyfile(Path(json.loads(done.stdout)["Dir"]) / file, folder / Path(file).name)
