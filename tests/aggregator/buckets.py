"""Settings for the aggregator's files in a bucket of the tests' S3 server."""

from __future__ import annotations

from pydantic import SecretStr

from services.aggregator.settings import DataSettings
from tests.support.s3 import S3Server


def in_bucket(s3: S3Server, bucket: str, *, endpoint: str | None = None, secret_key: str | None = None) -> DataSettings:
    """``endpoint``: another way to the same server."""
    return DataSettings(
        url=f"s3://{bucket}/some/prefix",
        endpoint=endpoint or s3.endpoint_url,
        access_key=SecretStr(s3.access_key),
        secret_key=SecretStr(secret_key or s3.secret_key),
    )
