"""A store in a bucket of S3, or of a server that speaks like it.

Rules
- An object appears whole or not at all; that is S3's own promise, for uploads in parts too.
- Reading downloads into a temporary file that goes when the reader is done.
- Parts of uploads that a crash left behind are the business of a lifecycle rule of the bucket.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.runtime.clips import MissingClip, Stored, StoreFull, StoreUnavailable, checked, expendable
from services.runtime.settings import BucketSettings, StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

T = TypeVar("T")

ABSENT = ("NoSuchKey", "NotFound", "404")
REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "401", "403")
FULL = ("XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "507")
ONE_THREAD = TransferConfig(use_threads=False)  # many clips are in flight already
DELETE_AT_ONCE = 1000  # the most that one call of S3 takes


class S3Store:
    """Objects of one bucket, below the prefix of ``settings.url``."""

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket, self._prefix = bucket_and_prefix(settings.url)
        self._client = s3_client(settings)

    def put_file(self, path: str, file: Path) -> None:
        key = self._key(path)
        self._ask(path, lambda: self._client.upload_file(str(file), self._bucket, key, Config=ONE_THREAD))

    def put_bytes(self, path: str, data: bytes) -> None:
        key = self._key(path)
        self._ask(path, lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=data))

    @contextmanager
    def open(self, path: str) -> Iterator[Path]:
        key = self._key(path)
        with TemporaryDirectory(prefix="plateflow-") as directory:
            file = Path(directory) / path.rpartition("/")[2]
            self._ask(path, lambda: self._client.download_file(self._bucket, key, str(file), Config=ONE_THREAD))
            yield file

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except MissingClip:
            return False
        return True

    def size(self, path: str) -> int:
        key = self._key(path)
        return self._ask(path, lambda: self._client.head_object(Bucket=self._bucket, Key=key))["ContentLength"]

    def delete(self, path: str) -> None:
        key = self._key(path)
        self._ask(path, lambda: self._client.delete_object(Bucket=self._bucket, Key=key))

    def sweep(self, now_s: float, max_age_s: float, max_bytes: int) -> list[str]:
        files = self._ask("", lambda: list(self._stored()))
        removed = [file.path for file in expendable(files, now_s, max_age_s, max_bytes)]
        for first in range(0, len(removed), DELETE_AT_ONCE):
            self._delete_together(removed[first : first + DELETE_AT_ONCE])
        return removed

    def _delete_together(self, paths: list[str]) -> None:
        keys: list[ObjectIdentifierTypeDef] = [{"Key": self._prefix + path} for path in paths]
        self._ask("", lambda: self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": keys}))

    def check(self) -> str | None:
        try:
            self._ask("", lambda: self._client.head_bucket(Bucket=self._bucket))
        except (StoreUnavailable, StoreFull) as error:
            return error.detail
        except MissingClip:
            return self._no_bucket()
        return None

    def _key(self, path: str) -> str:
        return self._prefix + checked(path)

    def _stored(self) -> Iterator[Stored]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for one in page.get("Contents", ()):
                path = one["Key"].removeprefix(self._prefix)
                yield Stored(one["LastModified"].timestamp(), path, one["Size"])

    def _ask(self, path: str, call: Callable[[], T]) -> T:
        """What ``call`` returns; what S3 objects to becomes one of the store's errors."""
        try:
            return call()
        except ClientError as error:
            raise self._objection(path, error) from error
        except (BotoCoreError, Boto3Error) as error:
            cause = error.__context__
            if isinstance(cause, ClientError):
                raise self._objection(path, cause) from error
            raise StoreUnavailable(f"bucket {self._bucket} does not answer ({type(error).__name__})") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull("no room for a temporary file: free some, or set TMPDIR") from error
            raise

    def _objection(self, path: str, error: ClientError) -> MissingClip | StoreFull | StoreUnavailable:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ABSENT:
            return MissingClip(path)
        if code == "NoSuchBucket":
            return StoreUnavailable(self._no_bucket())
        if code in FULL:
            return StoreFull(f"bucket {self._bucket} has no room left: raise its quota, or lower max_bytes")
        if code in REFUSED:
            return StoreUnavailable(f"bucket {self._bucket} refuses our keys ({code}): check them and their rights")
        return StoreUnavailable(f"bucket {self._bucket} answers {code or 'with an error'}")

    def _no_bucket(self) -> str:
        return f"bucket {self._bucket} does not exist: create it, or correct the store's url"


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Of ``s3://bucket/some/prefix``: the bucket, and the prefix, empty or with a slash at its end."""
    where = urlsplit(url)
    prefix = where.path.strip("/")
    return where.netloc, f"{prefix}/" if prefix else ""


def s3_client(settings: BucketSettings, attempts: int = 4) -> S3Client:
    """A client that tries each call so often, with pauses between, where S3 does not answer or is overloaded."""
    config = Config(
        s3={"addressing_style": "path" if settings.path_style and settings.endpoint else "auto"},
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=60,
        request_checksum_calculation="when_required",  # not every S3 server knows the newer checksums
        response_checksum_validation="when_required",
    )
    key, secret = settings.access_key, settings.secret_key
    client: S3Client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=key.get_secret_value() if key else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=config,
    )
    return client
