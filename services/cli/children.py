"""Child processes of a command: each logs into a file, none outlives the command.

In: command lines and environments. Out: running processes, their logs, their exit codes. On Linux the kernel kills a
child when its parent dies; a child gets a process group of its own, so Ctrl+C reaches the command alone, which then
stops its children in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_FOREIGN = ("PLATEFLOW_", "KAFKA_", "STORAGE_", "VAULT_", "KERBEROS_", "AGENT_", "QUEUE_")
_LOOK_S = 0.05


class ChildFailed(Exception):
    """A child died or was not ready in time. The text ends with the last lines of its log."""


class Child:
    """One running child process."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call
            )

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raises ChildFailed where it has ended."""
        if self.code is not None:
            raise ChildFailed(f"{self.name} ended with exit code {self.code}.\n{self.last_lines()}")

    def last_lines(self, count: int = 15) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join([f"--- the end of {self.log}", *lines[-count:]])

    def stop(self, timeout_s: float) -> int:
        """Asks it to end (SIGTERM), kills it where it does not; its exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            return self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        if self.code is None:
            os.killpg(self._process.pid, number)


class Children:
    """All children of a command; leaving the ``with`` block stops those that still run, the last started first."""

    def __init__(self, logs: Path) -> None:
        self._logs, self._children = logs, list[Child]()

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.stop(timeout_s=5)

    def start(
        self, name: str, module: str, arguments: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> Child:
        """Starts ``python -m module``; settings of the parent's environment do not reach it, only those in ``env``."""
        command = [sys.executable, "-m", module, *arguments]
        child = Child(name, command, self._logs / f"{name}.log", {**own_environment(), **(env or {})})
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raises ChildFailed where one has ended."""
        for child in self._children:
            child.check()

    def wait_for(self, child: Child, ready: Callable[[], bool], timeout_s: float) -> None:
        """Returns once ``ready()``; ChildFailed where a child dies, or is not ready in time."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildFailed(f"{child.name} was not ready within {timeout_s:.0f} s.\n{child.last_lines()}")
            time.sleep(_LOOK_S)


def own_environment() -> dict[str, str]:
    """This process's environment without settings that would lead children elsewhere; the device stays."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    device = os.environ.get("PLATEFLOW_DEVICE")
    return {**kept, "PYTHONUNBUFFERED": "1", **({"PLATEFLOW_DEVICE": device} if device else {})}


def free_port() -> int:
    """A TCP port of this host that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
