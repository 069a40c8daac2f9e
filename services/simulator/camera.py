"""A camera that uploads clips to Vault as a Kerberos agent does.

In: clip files whose names Kerberos gave. Out: uploads, first resumable (tus), or, where Vault answers that it does not
know that, the classic way. What fails is tried again, since an agent keeps a recording until Vault has it.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from services.contracts.kerberos import parse_key

CHUNK = 8 << 20
NO_TUS = (404, 405, 501)
"""Answers to which an agent falls back to the classic upload."""
_BLOCK = 1 << 16


class UploadFailed(Exception):
    """Vault did not take a recording, however often it was tried. Says what it answered."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where an agent uploads to, and as whom. ``api`` as STORAGE_URI has it."""

    api: str
    access_key: str
    secret: str = field(repr=False)
    directory: str = "demo"
    provider: str = "demo"


@dataclass(slots=True)
class UploadingCamera:
    """One agent. ``attempts`` and ``pause_s`` bound how long it insists; `sleep` is only replaced in tests."""

    account: Account
    device: str = "camera-1"
    attempts: int = 8
    pause_s: float = 0.5
    resumable: bool = True
    sleep: Callable[[float], None] = time.sleep
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30.0))

    def upload(self, clip: Path, name: str | None = None) -> str:
        """Uploads one clip, under ``name`` where it has another; its key.

        Raises UploadFailed, or ValueError for a name that is not Kerberos'.
        """
        name = name or clip.name
        key = f"{self.account.directory}/{name}"
        if parse_key(key).camera_part is None:
            raise ValueError(f"{name} is not named as Kerberos names recordings: <seconds>_<n>-<ms>_<camera>_...")
        answer = ""
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.pause_s * 2 ** min(attempt - 1, 5) * random.uniform(0.5, 1.0))
            try:
                self._try(clip, name)
                return key
            except (httpx.HTTPError, _Refused) as failure:
                answer = str(failure) or type(failure).__name__
        raise UploadFailed(f"Vault did not take {key} in {self.attempts} attempts: {answer}")

    def close(self) -> None:
        self.client.close()

    def _try(self, clip: Path, name: str) -> None:
        if self.resumable and self._resumable(clip, name):
            return
        self._classic(clip, name)

    def _resumable(self, clip: Path, name: str) -> bool:
        """Uploads by tus 1.0.0; False where this Vault has no such thing."""
        size = clip.stat().st_size
        headers = {b"Tus-Resumable": b"1.0.0", **self._keys()}
        metadata = ",".join(f"{word} {_base64(value)}".rstrip() for word, value in self._about(name).items())
        created = self.client.post(
            f"{self.account.api}/storage/tus/",
            headers={**headers, b"Upload-Length": b"%d" % size, b"Upload-Metadata": metadata.encode()},
        )
        if created.status_code in NO_TUS:
            self.resumable = False
            return False
        _expect(created, 201)
        address = str(created.url.join(created.headers["Location"]))
        with clip.open("rb") as file:
            for offset in range(0, size, CHUNK):
                patch = {
                    **headers,
                    b"Upload-Offset": b"%d" % offset,
                    b"Content-Type": b"application/offset+octet-stream",
                }
                _expect(self.client.patch(address, headers=patch, content=file.read(CHUNK)), 204)
        return True

    def _classic(self, clip: Path, name: str) -> None:
        about = self._about(name)
        headers = {
            b"Content-Type": b"video/mp4",
            b"Content-Length": b"%d" % clip.stat().st_size,
            **_storage({
                "FileName": name, "Directory": about["directory"], "Provider": about["provider"],
                "Device": about["device"], "Capture": about["capture"], "CloudKey": "",
            }),
            **self._keys(),
        }  # fmt: skip
        _expect(self.client.post(f"{self.account.api}/storage", headers=headers, content=_blocks(clip)), 200)

    def _about(self, name: str) -> dict[str, str]:
        return {
            "filename": name, "device": self.device, "directory": self.account.directory,
            "provider": self.account.provider, "capture": "IPCamera", "cloudkey": "",
        }  # fmt: skip

    def _keys(self) -> dict[bytes, bytes]:
        return _storage({"AccessKey": self.account.access_key, "SecretAccessKey": self.account.secret})


def recorded_at(name: str, time_ms: int) -> str:
    """The name of a clip as if its recording had begun at ``time_ms``; ValueError where it has none of Kerberos'."""
    parts = name.split("_", 2)
    if len(parts) < 3:
        raise ValueError(f"{name} is not named as Kerberos names recordings")
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{seconds}_{len(str(milliseconds))}-{milliseconds}_{parts[2]}"


class _Refused(Exception):
    """An answer other than the expected one. The body stays out of it: Vault repeats keys there."""


def _expect(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        raise _Refused(f"it answered {answer.status_code} where {status} means success")


def _storage(values: Mapping[str, str]) -> dict[bytes, bytes]:
    """Vault's headers; names are UTF-8 on the wire, as agents send them."""
    return {f"X-Kerberos-Storage-{name}".encode(): value.encode() for name, value in values.items()}


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _blocks(clip: Path) -> Iterator[bytes]:
    with clip.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
