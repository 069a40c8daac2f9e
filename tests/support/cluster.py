"""A real Kubernetes API server on a real etcd, without any node: what it accepts would be accepted by a cluster.

Both are built from source by the Go toolchain, which takes a quarter of an hour of a core, so only when a person asks:
``python -m tests.support.cluster``. Nothing runs in it: no scheduler, no controllers, no kubelet.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.cache import CACHE, cached, run_quietly
from tests.support.processes import ServerProcess, free_port
from tests.support.s3 import go

VERSION = "1.34.0"
ETCD = "3.6.4"
NAME = f"kubernetes-{VERSION}"
TOKEN = "made-up-token"
_GO = "go 1.24.0"
_API_SERVER = """package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
"""
_ETCD = """package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
"""


def built() -> bool:
    """Whether the two programs are there already."""
    return (CACHE / NAME).is_dir()


def programs() -> Path:
    """The folder with kube-apiserver and etcd; builds them where they are missing."""
    return cached(NAME, _build)


def _build(folder: Path) -> None:
    _build_one(folder, "etcd", f"{_GO}\n\nrequire go.etcd.io/etcd/server/v3 v{ETCD}\n", _ETCD)
    _build_one(folder, "kube-apiserver", _kubernetes_module(folder), _API_SERVER)


def _kubernetes_module(folder: Path) -> str:
    """Kubernetes' own go.mod names its parts by folders; here each is taken as the module that it is published as."""
    words = [go(), "mod", "download", "-json", f"k8s.io/kubernetes@v{VERSION}"]
    said = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = (Path(json.loads(said)["Dir"]) / "go.mod").read_text().splitlines()
    parts = [line.split()[0] for line in lines if "=> ./staging" in line]
    own = next(line for line in lines if line.startswith("go "))
    published = "0" + VERSION.removeprefix("1")
    replaced = "".join(f"\t{part} => {part} v{published}\n" for part in parts)
    return f"{own}\n\nrequire k8s.io/kubernetes v{VERSION}\n\nreplace (\n{replaced})\n"


def _build_one(folder: Path, name: str, module: str, source: str) -> None:
    version = "k8s.io/component-base/version"
    numbers = {"gitVersion": f"v{VERSION}", "gitMajor": VERSION.split(".")[0], "gitMinor": VERSION.split(".")[1]}
    says = " ".join(f"-X {version}.{key}={value}" for key, value in numbers.items())  # helm asks for it
    where = folder / f"build-{name}"
    where.mkdir()
    (where / "go.mod").write_text(f"module build\n\n{module}")
    (where / "main.go").write_text(source)
    run_quietly([go(), "-C", str(where), "mod", "tidy"])
    run_quietly(
        [go(), "-C", str(where), "build", f"-ldflags=-s -w {says}", "-o", str(folder / name), "."], {"CGO_ENABLED": "0"}
    )


class Cluster:
    """The API server, and what a client needs of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[ServerProcess] = []
        self.url = f"https://127.0.0.1:{free_port()}"
        self.kubeconfig = folder / "kubeconfig"
        self.client = httpx.Client(
            base_url=self.url,
            verify=False,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=30,
        )

    def start(self) -> Cluster:
        """Start both and return when the server is ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._start_etcd()
        self._start_server()
        self._processes[-1].wait_until(self._ready, 120)
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self.url)))
        return self

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.kill()
        self.client.close()

    def apply(self, path: str, thing: Mapping[str, Any], *, dry_run: bool = False) -> httpx.Response:
        """Server-side apply under this path of the API; unknown fields are refused."""
        query = {"fieldManager": "tests", "fieldValidation": "Strict", "force": "true"}
        return self.client.patch(
            f"{path}/{thing['metadata']['name']}",
            params=query | ({"dryRun": "All"} if dry_run else {}),
            content=json.dumps(thing),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    def path_of(self, thing: Mapping[str, Any], namespace: str) -> str:
        """Where the API keeps things of this kind, as the server itself says."""
        version = thing["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        kinds = self.client.get(root).raise_for_status().json()["resources"]
        found = next(one for one in kinds if one["kind"] == thing["kind"] and "/" not in one["name"])
        return f"{root}/namespaces/{namespace}/{found['name']}" if found["namespaced"] else f"{root}/{found['name']}"

    def _ready(self) -> bool:
        try:
            return self.client.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def _start_etcd(self) -> None:
        self._etcd = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        words = [str(programs() / "etcd"), f"--data-dir={self._folder / 'etcd'}", "--unsafe-no-fsync"]
        words += [f"--listen-client-urls={self._etcd}", f"--advertise-client-urls={self._etcd}"]
        words += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        self._processes.append(ServerProcess("etcd", [*words, f"--initial-cluster=default={peer}"], self._log("etcd")))

    def _start_server(self) -> None:
        private, public, tokens = (self._folder / name for name in ("sa.key", "sa.pub", "tokens.csv"))
        _write_keys(private, public)
        tokens.write_text(f"{TOKEN},tests,tests,system:masters\n")
        words = [
            str(programs() / "kube-apiserver"),
            f"--etcd-servers={self._etcd}",
            f"--secure-port={self.url.rpartition(':')[2]}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={self._folder / 'certificates'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={private}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts that it waits for
            "--service-cluster-ip-range=10.96.0.0/24",
        ]
        self._processes.append(ServerProcess("kube-apiserver", words, self._log("kube-apiserver")))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _write_keys(private: Path, public: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "tests", "user": {"token": TOKEN}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }


if __name__ == "__main__":
    print(programs())
