"""The clip store and the object store of best shots: files under paths, seen by all services.

In: whole files or bytes, under a relative path such as ``front/gate/0af3.mp4``.
Out: a local file for as long as one reads it.

Rules
- A path shows a whole file or nothing: what is written gets its name last, and replaces what was there.
- A store is a cache: `sweep` removes what is old or too much, and a reader must expect `MissingClip`.
- A path never leaves its store.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from services.runtime import metrics
from services.runtime.errors import Reject, Retry
from services.runtime.settings import StoreSettings, folder

log = logging.getLogger(__name__)


class MissingClip(Reject):
    """Nothing lies under that path (any more)."""

    def __init__(self, path: str) -> None:
        super().__init__("missing-clip", f"the store holds nothing under {path}")
        self.path = path


class BadPath(Reject):
    """The path could leave the store, or no store can hold it."""

    def __init__(self, path: str) -> None:
        super().__init__("bad-path", f"not a path of a store: {path[:200]!r}")


class StoreFull(Retry):
    """The disk or quota is used up; heals when something is swept or an operator makes room."""

    def __init__(self, detail: str) -> None:
        super().__init__("store-full", detail, healthy=lambda: False)


class StoreUnavailable(Retry):
    """The store does not answer or refuses us; says what to look at."""

    def __init__(self, detail: str) -> None:
        super().__init__("store-unavailable", detail, healthy=lambda: False)


class ClipStore(Protocol):
    """Files under paths. Any thread may call any method.

    All raise StoreUnavailable, those that write StoreFull, those that take a path BadPath; `check` raises
    nothing.
    """

    def put_file(self, path: str, file: Path) -> None:
        """Stores ``file``, whose content must not change afterwards; it may be deleted."""
        ...

    def put_bytes(self, path: str, data: bytes) -> None: ...

    def open(self, path: str) -> AbstractContextManager[Path]:
        """A local file to read while the context lasts. Raises MissingClip."""
        ...

    def exists(self, path: str) -> bool: ...

    def size(self, path: str) -> int:
        """Bytes. Raises MissingClip."""
        ...

    def delete(self, path: str) -> None:
        """Removes it; nothing happens where nothing is."""
        ...

    def sweep(self, now_s: float, max_age_s: float, max_bytes: int) -> list[str]:
        """Removes what was stored over ``max_age_s`` before ``now_s`` (Unix seconds), then the oldest until
        the rest fits into ``max_bytes``. Returns the paths removed, the oldest first."""
        ...

    def check(self) -> str | None:
        """None where one can write, else what is wrong."""
        ...


class Stored(NamedTuple):
    """One file of a store; sorts by age, the oldest first."""

    stored_s: float
    path: str
    size: int


def checked(path: str) -> str:
    """``path`` itself. Raises BadPath unless it is relative, of plain segments, and stays inside a store."""
    segments = path.split("/")
    plain = all(segment and segment not in (".", "..") and len(segment.encode()) <= 255 for segment in segments)
    if not plain or segments[0] == INCOMING or any(ord(c) < 32 or c == "\\" for c in path) or len(path) > 1000:
        raise BadPath(path)
    return path


INCOMING = ".incoming"
"""Where a folder store keeps what is not whole yet; no path begins with it."""


def expendable(files: Iterable[Stored], now_s: float, max_age_s: float, max_bytes: int) -> list[Stored]:
    """What a sweep removes of ``files``, the oldest first."""
    oldest_first = sorted(files)
    left = sum(file.size for file in oldest_first)
    removed = []
    for file in oldest_first:
        if now_s - file.stored_s <= max_age_s and left <= max_bytes:
            break
        removed.append(file)
        left -= file.size
    return removed


class MemoryStore:
    """The twin in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files: dict[str, tuple[float, bytes]] = {}
        self._lock = threading.Lock()

    def put_file(self, path: str, file: Path) -> None:
        self.put_bytes(path, file.read_bytes())

    def put_bytes(self, path: str, data: bytes) -> None:
        with self._lock:
            self._files[checked(path)] = (self._clock(), data)

    @contextmanager
    def open(self, path: str) -> Iterator[Path]:
        data = self._data(path)
        with TemporaryDirectory(prefix="plateflow-") as directory:
            file = Path(directory) / path.rpartition("/")[2]
            file.write_bytes(data)
            yield file

    def exists(self, path: str) -> bool:
        return checked(path) in self._files

    def size(self, path: str) -> int:
        return len(self._data(path))

    def delete(self, path: str) -> None:
        with self._lock:
            self._files.pop(checked(path), None)

    def sweep(self, now_s: float, max_age_s: float, max_bytes: int) -> list[str]:
        with self._lock:
            files = [Stored(stored_s, path, len(data)) for path, (stored_s, data) in self._files.items()]
            removed = [file.path for file in expendable(files, now_s, max_age_s, max_bytes)]
            for path in removed:
                del self._files[path]
        return removed

    def check(self) -> str | None:
        return None

    def _data(self, path: str) -> bytes:
        try:
            return self._files[checked(path)][1]
        except KeyError:
            raise MissingClip(path) from None


def open_store(settings: StoreSettings) -> ClipStore:
    """The store that ``settings`` name. Touches neither disk nor network yet; `check` does."""
    root = folder(settings.url)
    if root is not None:
        from services.runtime.clips_local import LocalStore

        return LocalStore(root)
    from services.runtime.clips_s3 import S3Store  # boto3 is slow to import, and not needed with a folder

    return S3Store(settings)


def sweeper(store: ClipStore, settings: StoreSettings, name: str) -> Callable[[], None]:
    """A chore that keeps ``store`` within its settings; ``name`` (clips, objects) is a metric label."""

    def sweep() -> None:
        removed = store.sweep(time.time(), settings.max_age_hours * 3600, settings.max_bytes)
        metrics.STORE_REMOVED.labels(name).inc(len(removed))
        if removed:
            log.info("swept", extra={"store": name, "files": len(removed)})

    return sweep
