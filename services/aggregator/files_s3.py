"""The aggregator's files in a bucket of S3, or of a server that honours conditions on PUT, as S3 does.

Rules (one writer per file, rule 5)
- Each PUT names the version that it replaces: `If-Match` with its ETag, or `If-None-Match` where there is none. One
  that is refused reads again: our own bytes are success, its answer was lost; another version means Superseded.
- A claim is an object, taken by such a PUT, whose bytes are nobody else's. A write first knows the version that it
  replaces, then sees that its claim is still the newest. So what we know was not written by whoever claims later, and
  what is written after that look is caught by the condition.
- A reader sees a whole object or none: S3's own promise.
- What S3 objects to is an OSError, as it would be of a disk.
"""

from __future__ import annotations

import errno
import uuid
from collections import OrderedDict
from functools import partial
from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from services.aggregator.files import Claim, LocalFiles, Superseded
from services.runtime.clips_s3 import ABSENT, REFUSED, bucket_and_prefix, s3_client
from services.runtime.settings import BucketSettings, folder

ATTEMPTS = 12
"""Of each call: with boto's pauses, which double from 50 ms to 20 s, S3 may be away for about half a minute."""
TRIES = 5
"""Of a read whose body broke off, or of a PUT that S3 could not decide on."""
KEPT = 50_000
"""Versions kept in memory; that of a file beyond is asked for again."""
CONDITION_FAILED = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", *ABSENT)
BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def files_at(settings: BucketSettings) -> LocalFiles | S3Files:
    """The files that the settings name. Nothing is asked or made yet."""
    local = folder(settings.url)
    return LocalFiles(Path(local)) if local is not None else S3Files(settings)


class S3Files:
    """Files below the prefix of ``settings.url``. Used by one thread; any thread may call `trouble`."""

    def __init__(self, settings: BucketSettings) -> None:
        self._bucket, self._prefix = bucket_and_prefix(settings.url)
        self._client = s3_client(settings, ATTEMPTS)
        self._versions: OrderedDict[str, str | None] = OrderedDict()
        """ETag of each file as we last read or wrote it; None: there was none."""

    def claim(self, name: str) -> Claim:
        path = _epoch_path(name)
        while True:
            claim = Claim(name, _epoch(self.read(path)) + 1)
            try:
                self._put(path, f"{claim.epoch} {uuid.uuid4().hex}".encode())
                return claim
            except Superseded:
                continue  # somebody else claimed between our look and our PUT

    def read(self, path: str) -> bytes | None:
        for left in reversed(range(TRIES)):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + path)
                data = answer["Body"].read()
                self._remember(path, answer["ETag"])
                return data
            except BROKEN_OFF as error:
                if not left:
                    raise self._failed(path, error) from error
            except (ClientError, BotoCoreError) as error:
                if _code(error) not in ABSENT:
                    raise self._failed(path, error) from error
                self._remember(path, None)
                return None
        raise AssertionError("the last try returns or raises")

    def write(self, path: str, data: bytes, claim: Claim) -> None:
        if path not in self._versions:
            self._look_up(path)
        if _epoch(self.read(_epoch_path(claim.name))) != claim.epoch:
            raise Superseded(f"the files of {claim.name} belong to another process now")
        self._put(path, data)

    def remove(self, path: str) -> None:
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + path)
        except (ClientError, BotoCoreError) as error:
            raise self._failed(path, error) from error
        self._remember(path, None)

    def paths(self, folder: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            found = [
                one["Key"].removeprefix(self._prefix)
                for page in pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{folder}/")
                for one in page.get("Contents", ())
            ]
        except (ClientError, BotoCoreError) as error:
            raise self._failed(folder, error) from error
        return sorted(found)

    def trouble(self) -> str | None:
        """The reason for /readyz."""
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except (ClientError, BotoCoreError) as error:
            return f"bucket {self._bucket} {_words(error)}"
        return None

    def _put(self, path: str, data: bytes) -> None:
        """In place of the version that we know. Superseded where there is another one."""
        put = partial(self._client.put_object, Bucket=self._bucket, Key=self._prefix + path, Body=data)
        for _ in range(TRIES):
            former = self._versions[path]
            try:
                answer = put(IfNoneMatch="*") if former is None else put(IfMatch=former)
                self._remember(path, answer["ETag"])
                return
            except (ClientError, BotoCoreError) as error:
                if _code(error) not in CONDITION_FAILED:
                    raise self._failed(path, error) from error
            if self.read(path) == data:
                return
            if self._versions[path] != former:
                raise Superseded(f"{path} was written by another process")
        raise OSError(errno.EAGAIN, "others write at the same time, again and again", self._name(path))

    def _look_up(self, path: str) -> None:
        try:
            self._remember(path, self._client.head_object(Bucket=self._bucket, Key=self._prefix + path)["ETag"])
        except (ClientError, BotoCoreError) as error:
            if _code(error) not in ABSENT:
                raise self._failed(path, error) from error
            self._remember(path, None)

    def _remember(self, path: str, version: str | None) -> None:
        self._versions[path] = version
        self._versions.move_to_end(path)
        if len(self._versions) > KEPT:
            self._versions.popitem(last=False)

    def _failed(self, path: str, error: ClientError | BotoCoreError) -> OSError:
        return OSError(errno.EIO, _words(error), self._name(path))

    def _name(self, path: str) -> str:
        return f"s3://{self._bucket}/{self._prefix}{path}"


def _epoch_path(name: str) -> str:
    return f"epochs/{name}.epoch"


def _epoch(claim: bytes | None) -> int:
    return 0 if claim is None else int(claim.split()[0])


def _code(error: ClientError | BotoCoreError) -> str:
    """Empty where S3 did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _words(error: ClientError | BotoCoreError) -> str:
    code = _code(error)
    if code in REFUSED:
        return f"refuses our keys ({code}): check PLATEFLOW_DATA_ACCESS_KEY, its secret key and their rights"
    if code in ("NoSuchBucket", *ABSENT):
        return "does not exist: create it, or correct PLATEFLOW_DATA"
    return f"answers {code}" if code else f"does not answer ({type(error).__name__})"
