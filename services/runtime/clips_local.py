"""A store in a folder, on a local disk or a volume that the services share.

Rules
- What is being written lies under ``.incoming`` of the same folder, so that its rename is atomic; what a
  crash left there is swept after an hour.
- Nothing is synced to the disk: the store is a cache, and a clip that a power failure tore is fetched again.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.runtime.clips import (
    INCOMING,
    MissingClip,
    Stored,
    StoreFull,
    StoreUnavailable,
    checked,
    expendable,
)

ABANDONED_AFTER_S = 3600.0
READABLE_BY_ALL = 0o644  # the services may run under several users


class LocalStore:
    """Files below ``root``, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / INCOMING

    def put_file(self, path: str, file: Path) -> None:
        self._put(path, lambda temporary: _link_or_copy(file, temporary))

    def put_bytes(self, path: str, data: bytes) -> None:
        self._put(path, lambda temporary: _write(temporary, data))

    @contextmanager
    def open(self, path: str) -> Iterator[Path]:
        self.size(path)
        yield self.root / path

    def exists(self, path: str) -> bool:
        return (self.root / checked(path)).is_file()

    def size(self, path: str) -> int:
        try:
            return (self.root / checked(path)).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise MissingClip(path) from None
        except OSError as error:
            raise self._trouble(error) from error

    def delete(self, path: str) -> None:
        file = self.root / checked(path)
        try:
            file.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._trouble(error) from error
        self._remove_empty(file.parent)

    def sweep(self, now_s: float, max_age_s: float, max_bytes: int) -> list[str]:
        self._remove_abandoned(now_s)
        removed = [file.path for file in expendable(self._stored(), now_s, max_age_s, max_bytes)]
        for path in removed:
            self.delete(path)
        return removed

    def check(self) -> str | None:
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._incoming) as probe:
                probe.write(b"plateflow")
        except OSError as error:
            return self._trouble(error).detail
        return None

    def _put(self, path: str, fill: Callable[[Path], None]) -> None:
        target = self.root / checked(path)
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            temporary = self._incoming / uuid.uuid4().hex
            try:
                fill(temporary)
                temporary.chmod(READABLE_BY_ALL)
                os.utime(temporary)
                _rename(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble(error) from error

    def _stored(self) -> Iterator[Stored]:
        for directory, names, files in os.walk(self.root):
            if Path(directory) == self.root and INCOMING in names:
                names.remove(INCOMING)
            for name in files:
                file = Path(directory) / name
                with suppress(FileNotFoundError):  # another instance sweeps too
                    status = file.stat()
                    yield Stored(status.st_mtime, file.relative_to(self.root).as_posix(), status.st_size)

    def _remove_abandoned(self, now_s: float) -> None:
        with suppress(FileNotFoundError):
            for left in self._incoming.iterdir():
                with suppress(FileNotFoundError):
                    if now_s - left.stat().st_mtime > ABANDONED_AFTER_S:
                        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()

    def _remove_empty(self, directory: Path) -> None:
        with suppress(OSError):  # not empty
            while directory != self.root:
                directory.rmdir()
                directory = directory.parent

    def _trouble(self, error: OSError) -> StoreFull | StoreUnavailable:
        where = f"the store in {self.root}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StoreFull(f"{where} has no room left: free some, or lower its max_bytes")
        return StoreUnavailable(f"{where} cannot be used: {error.strerror or error}. Check the folder and its rights.")


def _rename(temporary: Path, target: Path) -> None:
    """Renames; makes the folder, again where a sweep removed it in between because it was empty."""
    for attempt in range(10):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(target)
            return
        except (FileNotFoundError, FileExistsError):
            if attempt == 9:
                raise


def _link_or_copy(file: Path, temporary: Path) -> None:
    try:
        os.link(file, temporary)
    except OSError:  # another file system, or one without links
        shutil.copyfile(file, temporary)


def _write(temporary: Path, data: bytes) -> None:
    temporary.write_bytes(data)
