"""Recordings straight from Vault's buckets, by a source map: source name -> where its bucket is.

The map is a YAML or JSON file such as

    minio:
      endpoint: http://minio.minio-tenant
      bucket: recordings
      access_key: …
      secret_key: …

``region`` and ``path_style`` are optional. The object key in the bucket is the recording's key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from services.runtime.errors import Stop
from services.runtime.transfer import PIECE, Obstacle, Saved, WayFailed, reject_too_large, save, within

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GONE = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {"AccessDenied", "403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"}


class BucketSource(BaseModel):
    """Where the bucket behind one Vault source is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)
    endpoint: str | None = None
    """Not set: AWS itself."""
    region: str = "us-east-1"
    access_key: SecretStr | None = None
    """Not set: whatever boto3 finds by itself (AWS_*, a role)."""
    secret_key: SecretStr | None = None
    path_style: bool = True


def load_sources(path: Path) -> dict[str, BucketSource]:
    """Reads a source map. Stop names the file, the source and the field, never a value."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, BucketSource]).validate_python(content)
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{path}: cannot read the source map: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise Stop(f"{path}: not valid YAML or JSON{line}") from None
    except RecursionError:
        raise Stop(f"{path}: nested too deeply") from None
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Stop(f"{path}: {places}") from None


class Listed(NamedTuple):
    """An object in a listing."""

    key: str
    size: int | None
    """None where the listing does not say."""


class Buckets:
    """Downloads from the buckets of a source map; safe to use from several threads."""

    def __init__(
        self,
        sources: Mapping[str, BucketSource],
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 30.0,
    ) -> None:
        self._sources = dict(sources)
        self._timeouts = (connect_timeout_s, read_timeout_s)
        self._clients: dict[str, S3Client] = {}
        self._lock = threading.Lock()

    def __contains__(self, source: str) -> bool:
        return source in self._sources

    def reachable(self, source: str) -> bool:
        """Whether the bucket of that source answers and admits us."""
        try:
            self._client(source).head_bucket(Bucket=self._sources[source].bucket)
        except (BotoCoreError, ClientError):
            return False
        return True

    def listed(self, source: str, prefix: str) -> Iterator[Listed]:
        """Every object whose key begins with ``prefix``, in order of key. Raises WayFailed."""
        pages = self._client(source).get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._sources[source].bucket, Prefix=prefix):
                yield from (Listed(one["Key"], one["Size"]) for one in page.get("Contents", ()))
        except ClientError as error:
            raise _failed(error, source) from error
        except BotoCoreError as error:
            raise WayFailed(Obstacle.UNAVAILABLE, f"bucket of {source}: {type(error).__name__}") from error

    def download(self, source: str, key: str, into: Path, limit: int) -> Saved:
        """Raises WayFailed; Reject where the object is too large or empty."""
        try:
            answer = self._client(source).get_object(Bucket=self._sources[source].bucket, Key=key)
            if answer["ContentLength"] > limit:
                answer["Body"].close()
                reject_too_large(limit)
            return save(within(_chunks(answer["Body"])), into, limit)
        except ClientError as error:
            raise _failed(error, source) from error
        except BotoCoreError as error:
            raise WayFailed(Obstacle.UNAVAILABLE, f"bucket of {source}: {type(error).__name__}") from error

    def _client(self, source: str) -> S3Client:
        with self._lock:  # making clients is not thread-safe, using them is
            if source not in self._clients:
                self._clients[source] = self._connect(self._sources[source])
            return self._clients[source]

    def _connect(self, place: BucketSource) -> S3Client:
        connect_s, read_s = self._timeouts
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=place.endpoint,
            region_name=place.region,
            aws_access_key_id=_revealed(place.access_key),
            aws_secret_access_key=_revealed(place.secret_key),
            config=Config(
                connect_timeout=connect_s,
                read_timeout=read_s,
                retries={"max_attempts": 1},
                s3={"addressing_style": "path" if place.path_style else "virtual"},
                proxies={},
            ),
        )
        return client


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _chunks(body: Any) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(PIECE)
    finally:
        body.close()


def _failed(error: ClientError, source: str) -> WayFailed:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _GONE:
        return WayFailed(Obstacle.GONE, f"bucket of {source}: no such object", status)
    if code in _REFUSED:
        return WayFailed(Obstacle.REFUSED, f"bucket of {source}: {code}; correct the source map", status)
    hopeful = status >= 500 or status in (408, 429)
    return WayFailed(
        Obstacle.UNAVAILABLE if hopeful else Obstacle.UNEXPECTED,
        f"bucket of {source}: {code or status}",
        status,
    )
