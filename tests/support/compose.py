"""`docker-compose.yml` without a Docker engine: checked by compose-go, and its services started as plain processes.

compose-go is the library that `docker compose` itself reads files with; the Go toolchain builds it once. What a
container would see is mapped to this machine: host names and ports to free ports on loopback, volumes and mounted
files to folders and files here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.dockerfile import command, environment, stages
from tests.support import s3
from tests.support.cache import REPOSITORY, cached, run_quietly
from tests.support.kafka import jars, java
from tests.support.processes import ServerProcess, free_port

COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
VERSION = "v2.16.2"
MODULE = f"github.com/compose-spec/compose-go/v2/cmd@{VERSION}"
_HOST = r"(?<![\w.-])(?:{names}|0\.0\.0\.0|localhost|127\.0\.0\.1):(\d{{4,5}})\b"
_NO_SETTINGS = ("KAFKA_HEAP_OPTS", "KAFKA_OPTS", "KAFKA_VERSION")  # of the Kafka image: for its scripts
_LOG4J = """appenders = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


def checker() -> Path:
    """The executable that loads a compose file by the Compose specification."""
    return cached(f"compose-go-{VERSION}", _build) / "compose-go"


def _build(folder: Path) -> None:
    settings = {"GOBIN": str(folder), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    run_quietly([s3.go(), "install", "-ldflags=-s -w", MODULE], extra_env=settings)
    (folder / "cmd").rename(folder / "compose-go")


def check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Load a compose file as `docker compose config` does; the exit code, and what it says."""
    file = folder / "docker-compose.yml"
    file.write_text(text)
    words = [str(checker()), "--format", "json", "--no-path-resolution", str(file)]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(words, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=60)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """``${NAME:-default}`` and ``${NAME:?text}`` filled in. KeyError for a missing one that is needed."""

    def fill(found: re.Match[str]) -> str:
        name, how, rest = found.groups()
        value = variables.get(name, "")
        if how == ":?" and not value:
            raise KeyError(name)
        return value or (rest if how == ":-" else "")

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", fill, text)


def variables(file: Path) -> dict[str, str]:
    """What a `.env` file sets."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def load(folder: Path, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The services with the shipped `.env.example`, as compose-go resolves them."""
    filled = interpolated(COMPOSE_FILE.read_text(), {**variables(REPOSITORY / ".env.example"), **(extra or {})})
    done = check(filled, folder)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


class Machine:
    """This machine in the place of the containers: starts their commands, with their settings."""

    def __init__(self, services: Mapping[str, Any], folder: Path) -> None:
        self.services, self.folder = services, folder
        self._ports: dict[str, int] = {}
        self.processes: dict[str, ServerProcess] = {}

    def port(self, host: str, number: str) -> int:
        """The loopback port that stands for ``host:number``. Names of one host's own interfaces are one host."""
        return self._ports.setdefault(f"{host}:{number}", free_port())

    def here(self, service: str, text: str) -> str:
        """A command's word or a setting's value with hosts and paths of this machine."""
        names = "|".join(map(re.escape, self.services))

        def address(found: re.Match[str]) -> str:
            host = found[0].rpartition(":")[0]
            return f"127.0.0.1:{self.port(host if host in self.services else service, found[1])}"

        text = re.sub(_HOST.format(names=names), address, text)
        for inside, outside in self.mounts(service).items():
            text = re.sub(rf"(?<![\w.]){re.escape(inside)}(?=/|$)", str(outside), text)
        return text

    def mounts(self, service: str) -> dict[str, Path]:
        """Paths in the container -> paths here, the longest first."""
        found = {}
        for mount in self.services[service].get("volumes", []):
            inside, source = mount["target"], mount.get("source")
            if inside == "/tmp":
                continue
            found[inside] = REPOSITORY / source if mount["type"] == "bind" else self.folder / "volumes" / source
            if mount["type"] != "bind":
                found[inside].mkdir(parents=True, exist_ok=True)
        return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))

    def settings(self, service: str) -> dict[str, str]:
        given = self.services[service].get("environment") or {}
        text = {name: "" if value is None else str(value) for name, value in given.items()}
        return {name: self.here(service, value) for name, value in text.items()}

    def start(self, service: str, words: list[str], env: Mapping[str, str]) -> ServerProcess:
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "OMP_NUM_THREADS": "1"}
        log = self.folder / f"{service}.log"
        process = ServerProcess(service, words, log, environment={**base, **env}, cwd=REPOSITORY)
        self.processes[service] = process
        return process

    def start_ours(self, service: str, **changed: str) -> ServerProcess:
        """One of our images: the command of the compose file, else the Dockerfile's, in the image's environment."""
        about = self.services[service]
        target = about["build"]["target"]
        image = environment(target, stages())
        image = {name: self.here(service, value) for name, value in image.items() if name.startswith("PLATEFLOW_")}
        if "PLATEFLOW_HTTP_PORT" in image:
            image["PLATEFLOW_HTTP_PORT"] = str(self.port(service, image["PLATEFLOW_HTTP_PORT"]))
        entry = about.get("entrypoint") or command("cli", stages())[:1] if target == "cli" else []
        words = [*entry, *about["command"]] if about.get("command") else command(target, stages())
        ready = [self.here(service, str(word)) for word in words]
        if "--port" in ready:
            at = ready.index("--port") + 1
            ready[at] = str(self.port(service, ready[at]))
        program = str(Path(sys.executable).with_name(ready[0]))
        return self.start(service, [program, *ready[1:]], {**image, **self.settings(service), **changed})

    def start_kafka(self) -> ServerProcess:
        """As the image does it: each KAFKA_… variable is a line of server.properties."""
        given = {name: value for name, value in self.settings("kafka").items() if name not in _NO_SETTINGS}
        lines = [f"{_property(name)}={value}" for name, value in given.items() if name.startswith("KAFKA_")]
        properties, log4j = self.folder / "server.properties", self.folder / "log4j2.properties"
        properties.write_text("\n".join(lines))
        log4j.write_text(_LOG4J)
        words = [str(java()), "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        words += [f"-Dlog4j2.configurationFile={log4j}", "-cp", str(jars() / "*")]
        identity = given["CLUSTER_ID"]
        run_quietly([*words, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(properties)])
        return self.start("kafka", [*words, "kafka.Kafka", str(properties)], {})

    def start_s3(self) -> ServerProcess:
        made = self.services["buckets"]["entrypoint"]
        run_quietly([self.here("buckets", word) for word in made])
        words = [self.here("s3", str(word)) for word in self.services["s3"]["command"]]
        return self.start("s3", [str(s3.versitygw()), *words], self.settings("s3"))

    def kill(self) -> None:
        for process in reversed(self.processes.values()):
            process.kill()

    def tails(self) -> str:
        return "\n".join(process.tail(15) for process in self.processes.values())


def _property(name: str) -> str:
    """KAFKA_LOG_DIRS -> log.dirs, as the image's own start script says it."""
    return name.removeprefix("KAFKA_").lower().replace("___", "-").replace("__", "_").replace("_", ".")
