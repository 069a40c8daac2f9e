"""Vault's announcement of a recording -> its clip in the store -> a `Clip` message.

In: a record of Vault's topic. Out: at most one message for `plateflow.clips`, keyed by camera; or an
instruction of `services.runtime.errors`.

Rules
- Called by several threads at once; two announcements of one recording take turns.
- The clip lies in the store before its message is returned, under a path that only the recording decides. So
  an announcement that is handled again finds it there and does not fetch it again.
- Skipped and counted, with nothing published: recordings on demand, derived objects, repeats.
- What is in the store is a whole, plain MP4. Whether it can be decoded is inference's question.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from services.contracts import kerberos
from services.contracts.codec import encode
from services.contracts.identity import clip_id, recording_id
from services.contracts.kerberos import BadEvent, RecordingEvent
from services.contracts.messages import Clip
from services.ingest.core import container
from services.ingest.core.container import BadContainer
from services.ingest.core.repeats import Place, Repeats
from services.ingest.one_at_a_time import OneAtATime
from services.runtime import metric_labels, metrics, tracing, trail
from services.runtime.clips import ClipStore, MissingClip
from services.runtime.errors import Reject, Retry
from services.runtime.masking import without_masked
from services.runtime.ports import Outgoing, Record
from services.runtime.transfer import Saved, disk_failed
from services.runtime.vault import FetchedClip, Wanted

log = logging.getLogger(__name__)


class Vault(Protocol):
    """What ingest needs of `services.runtime.vault.VaultClient`."""

    def fetch(self, wanted: Wanted, into: Path) -> FetchedClip: ...


class IngestHandler:
    """The handler of ingest.

    ``work`` is a folder for downloads, best on the store's disk; None: the system's.
    """

    def __init__(
        self, vault: Vault, store: ClipStore, clips_topic: str, *, results: int, remembered: int, work: Path | None
    ) -> None:
        self._vault, self._store, self._topic, self._results = vault, store, clips_topic, results
        self._work = work
        self._repeats = Repeats(remembered)
        self._turns = OneAtATime()

    def handle(self, record: Record) -> Sequence[Outgoing]:
        event, start_ms = _parsed(record.value)
        skipped = _skipped(event)
        if skipped is not None:
            metrics.RECORDINGS.labels(skipped).inc()
            return ()
        recording = recording_id(event.key.key)
        tracing.about(recording, event.camera, event.trace_id, start_ms)
        place = Place(record.timestamp_ms, record.partition.topic, record.partition.index, record.offset)
        with self._turns(recording):
            if self._repeats.is_repeat(recording, place):
                metrics.RECORDINGS.labels("duplicate").inc()
                return ()
            clip = self._clip(event, recording, start_ms)
            self._repeats.remember(recording, place)
        camera = metric_labels.camera(event.camera)
        metrics.CAMERA_RECORDINGS.labels(camera).inc()
        metrics.CAMERA_LAST.labels(camera).set_to_current_time()
        log.info("clip stored", extra={"camera": clip.camera, "key": clip.key, "bytes": clip.size})
        return (Outgoing(self._topic, encode(clip), key=clip.camera.encode()),)

    def _clip(self, event: RecordingEvent, recording: str, start_ms: int) -> Clip:
        path = clip_path(recording, start_ms)
        saved = self._stored(path, event.file_size)
        outcome = "stored" if saved is None else "found-in-store"
        if saved is None:
            saved = self._fetch(event, path)
        metrics.RECORDINGS.labels(outcome).inc()
        return Clip(
            id=clip_id(self._results, recording),
            trace_id=event.trace_id,
            results=self._results,
            recording_id=recording,
            camera=event.camera,
            key=event.key.key,
            source=event.source,
            start_ms=start_ms,
            path=path,
            size=saved.size,
            sha256=saved.sha256,
            instance_name=event.instance_name,
            product_id=event.product_id,
        )

    def _stored(self, path: str, announced: int | None) -> Saved | None:
        """What lies in the store already, if its size is the announced one."""
        try:
            if announced is None or self._store.size(path) != announced:
                return None
            with self._store.open(path) as file, file.open("rb") as content:
                return Saved(announced, hashlib.file_digest(content, "sha256").hexdigest())
        except (MissingClip, FileNotFoundError):
            return None

    def _fetch(self, event: RecordingEvent, path: str) -> Saved:
        try:
            with _new_file(self._folder()) as file:
                fetched = self._download(event, file)
                _check(file, fetched, event.file_size)
                self._store.put_file(path, file)
        except OSError as error:
            raise disk_failed(error, Path(error.filename or tempfile.gettempdir())) from error
        return Saved(fetched.size, fetched.sha256)

    def _folder(self) -> Path | None:
        if self._work is not None:
            self._work.mkdir(parents=True, exist_ok=True)
        return self._work

    def _download(self, event: RecordingEvent, file: Path) -> FetchedClip:
        began = time.monotonic()
        wanted = Wanted(event.key.key, event.source, event.signed_url, event.override)
        with tracing.span("fetch"):
            fetched = self._vault.fetch(wanted, file)
        metrics.FETCH_SECONDS.labels(fetched.how).observe(time.monotonic() - began, trail.exemplar())
        metrics.FETCHED_BYTES.labels(fetched.how).inc(fetched.transferred)
        return fetched


@contextmanager
def _new_file(folder: Path | None) -> Iterator[Path]:
    """A file of our own for a while."""
    descriptor, name = tempfile.mkstemp(prefix="ingest-", suffix=".mp4", dir=folder)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def clip_path(recording: str, start_ms: int) -> str:
    """Path in the clip store: by day of the recording (UTC), then by its id."""
    return f"{datetime.fromtimestamp(start_ms / 1000, UTC):%Y-%m-%d}/{recording}.mp4"


def _parsed(value: bytes | None) -> tuple[RecordingEvent, int]:
    """Of an announcement that was a dead letter, without what is masked: the configured keys fetch it."""
    try:
        event = kerberos.parse_event(value and without_masked(value))
        return event, kerberos.recording_start_ms(event)
    except BadEvent as error:
        raise Reject(error.reason, f"{error}: correct the sender, or ignore this message") from error


def _skipped(event: RecordingEvent) -> str | None:
    """Why this announcement is none of a recording that lies in Vault, None where it is one."""
    if event.key.derived is not None:
        return "skipped-derived"
    return "skipped-ondemand" if event.request == kerberos.ONDEMAND else None


def _check(file: Path, fetched: FetchedClip, announced: int | None) -> None:
    """Reject for what is no whole MP4; Retry where fewer bytes came than were announced."""
    try:
        with file.open("rb") as content:
            container.check(content, fetched.size)
    except BadContainer as error:
        if error.reason == "truncated" and announced is not None and fetched.transferred < announced:
            detail = f"{fetched.transferred} of {announced} announced bytes came; {error.detail}"
            raise Retry("incomplete-transfer", detail) from error
        raise Reject(error.reason, error.detail) from error
