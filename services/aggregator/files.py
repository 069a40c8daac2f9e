"""Where the aggregator keeps its files: a port, a local folder, and an in-memory twin.

Rules
- A reader sees a whole file or none: written under a temporary name (which never ends in ``.parquet``),
  synced, renamed.
- One writer per partition (rule 5): `claim` raises an epoch; a `write` under an older claim is refused with
  `Superseded`, since the epoch is read again under the very lock under which the rename happens.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol


class Superseded(Exception):
    """Somebody else has claimed the files since: write nothing, drop the state."""


class Claim(NamedTuple):
    """The right to write the files of one partition, until somebody claims them again."""

    name: str
    epoch: int


class Files(Protocol):
    """Paths are relative, with ``/``."""

    def claim(self, name: str) -> Claim:
        """Takes over the files that go by this name from whoever had claimed them."""
        ...

    def read(self, path: str) -> bytes | None:
        """None where there is no such file."""
        ...

    def write(self, path: str, data: bytes, claim: Claim) -> None:
        """Puts a whole file in place of the former one. Superseded where the claim is not the newest."""
        ...

    def remove(self, path: str) -> None:
        """A file that is not there is fine."""
        ...

    def paths(self, folder: str) -> list[str]:
        """All files below a folder, sorted; none where there is no such folder."""
        ...


class LocalFiles:
    """Files in a folder of this host, or of a volume that honours ``flock``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def claim(self, name: str) -> Claim:
        with self._locked(name):
            claim = Claim(name, self._epoch(name) + 1)
            _replace(self._epoch_file(name), str(claim.epoch).encode())
        return claim

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes, claim: Claim) -> None:
        target = self.root / path
        self._make_folder(target.parent)
        with self._locked(claim.name):
            if self._epoch(claim.name) != claim.epoch:
                raise Superseded(f"the files of {claim.name} belong to another process now")
            _replace(target, data)

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def paths(self, folder: str) -> list[str]:
        found = (self.root / folder).rglob("*")
        return sorted(str(p.relative_to(self.root)) for p in found if p.is_file() and not p.name.endswith(".tmp"))

    def trouble(self) -> str | None:
        """The reason for /readyz."""
        if self.root.is_dir() and os.access(self.root, os.W_OK):
            return None
        return f"{self.root} is not a folder that can be written to: correct PLATEFLOW_DATA"

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        folder = self.root / "epochs"
        self._make_folder(folder)
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _epoch_file(self, name: str) -> Path:
        return self.root / "epochs" / f"{name}.epoch"

    def _epoch(self, name: str) -> int:
        try:
            return int(self._epoch_file(name).read_text())
        except FileNotFoundError:
            return 0

    def _make_folder(self, folder: Path) -> None:
        """Creates it and what is missing above; synced, so that a file in it cannot vanish with its folder."""
        if folder.is_dir():
            return
        missing = [folder, *(parent for parent in folder.parents if not parent.exists())]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)


def _replace(target: Path, data: bytes) -> None:
    """Under the lock, so one temporary name is enough, and what a crash left there is overwritten."""
    beside = target.with_name(f".{target.name}.tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass
class MemoryFiles:
    """The twin in memory, for tests and for a life without a disk."""

    contents: dict[str, bytes] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)

    def claim(self, name: str) -> Claim:
        self.epochs[name] = self.epochs.get(name, 0) + 1
        return Claim(name, self.epochs[name])

    def read(self, path: str) -> bytes | None:
        return self.contents.get(path)

    def write(self, path: str, data: bytes, claim: Claim) -> None:
        if self.epochs.get(claim.name) != claim.epoch:
            raise Superseded(f"the files of {claim.name} belong to another process now")
        self.contents[path] = data

    def remove(self, path: str) -> None:
        self.contents.pop(path, None)

    def paths(self, folder: str) -> list[str]:
        return sorted(path for path in self.contents if path.startswith(f"{folder}/"))
