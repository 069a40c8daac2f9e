"""The settings that services share, in groups: Kafka, Vault, the stores, what a service tells about itself.

A service composes them (``class IngestSettings(ServiceSettings)`` with ``kafka: KafkaSettings``, ...)
and reads them by ``load(IngestSettings)``. Each variable has a name of ours (`PLATEFLOW_KAFKA_BROKER`)
and, where Kerberos' own services have one (`KAFKA_BROKER`), that too. How they are read:
`services.runtime.environment`.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ByteSize,
    Field,
    FilePath,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from services.contracts.topics import Topics
from services.runtime.environment import Settings, Variable, load, unknown, variables

__all__ = [
    "BucketSettings",
    "HttpUrl",
    "KafkaSettings",
    "Names",
    "ObjectStoreSettings",
    "ObservabilitySettings",
    "Port",
    "Seconds",
    "Secrets",
    "ServiceSettings",
    "Settings",
    "StoreSettings",
    "Variable",
    "VaultSettings",
    "folder",
    "load",
    "unknown",
    "variables",
]


# ---- kinds of values ---------------------------------------------------------------------------------------
def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("needs a URL such as https://vault.example/api")
    return value.rstrip("/")


def _brokers(value: str) -> str:
    for broker in value.split(","):
        host, _, port = broker.strip().rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError("needs host:port, several separated by commas, such as kafka:9092")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Comma-separated in the environment."""
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Brokers = Annotated[str, AfterValidator(_brokers)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Mechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)]
Security = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]


# ---- the groups that services share ------------------------------------------------------------------------
class KafkaSettings(Settings):
    """How to reach Kafka, and under which names."""

    env_prefix: ClassVar[str] = "PLATEFLOW_KAFKA_"

    broker: Brokers = Field(
        description="Kafka brokers as host:port, several separated by commas.",
        validation_alias=AliasChoices("KAFKA_BROKER"),
    )
    group: str = Field(
        default="plateflow",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Consumer group; each service appends its name (`plateflow-ingest`): grant the prefix.",
        validation_alias=AliasChoices("KAFKA_GROUP"),
    )
    vault_topic: str = Field(
        default="kcloud-event-queue",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Topic on which Vault announces recordings (`topic` of its Kafka integration).",
        validation_alias=AliasChoices("KAFKA_QUEUE_NAME", "QUEUE_NAME"),
    )
    topic_prefix: str = Field(
        default="plateflow",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Start of the names of our own topics; keeps several installations apart on one cluster.",
    )
    topic_partitions: int = Field(
        default=6,
        ge=1,
        description="Partitions of a topic of ours that does not exist yet and is made at start.",
    )
    username: str | None = Field(
        default=None, description="SASL user.", validation_alias=AliasChoices("KAFKA_USERNAME")
    )
    password: SecretStr | None = Field(
        default=None, description="SASL password.", validation_alias=AliasChoices("KAFKA_PASSWORD")
    )
    mechanism: Mechanism = Field(
        default="PLAIN",
        description="SASL mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
        validation_alias=AliasChoices("KAFKA_MECHANISM"),
    )
    security: Security | None = Field(
        default=None,
        description="Security protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. "
        "Not set: SASL_PLAINTEXT where there is a user, else PLAINTEXT.",
        validation_alias=AliasChoices("KAFKA_SECURITY"),
    )
    ca_file: FilePath | None = Field(
        default=None,
        description="PEM file with the certificate authority that signed the brokers' certificates.",
    )
    instance_id: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="Name of this instance, stable over restarts, its own among the replicas of a service "
        "(`transactional.id`).",
        json_schema_extra={"default": "the host's name"},
    )
    transaction_timeout_s: Seconds = Field(
        default=15.0,
        description="After so many seconds Kafka aborts the transaction of an instance that died.",
    )
    session_timeout_s: Seconds = Field(
        default=10.0,
        description="After so many seconds without a heartbeat Kafka gives our partitions to others.",
    )
    max_poll_interval_s: Seconds = Field(
        default=300.0,
        description="After so many seconds without a poll Kafka gives our partitions to others.",
    )

    @field_validator("password")
    @classmethod
    def _password_belongs_to_user(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) != (info.data.get("username") is None):
            raise ValueError("a SASL user and its password are set together, or neither")
        return value

    @field_validator("security")
    @classmethod
    def _sasl_needs_user(cls, value: str | None, info: ValidationInfo) -> str | None:
        user = info.data.get("username")
        if value is not None and value.startswith("SASL") != (user is not None):
            raise ValueError(f"{value} {'needs' if user is None else 'takes no'} SASL user and password")
        return value

    @property
    def topics(self) -> Topics:
        return Topics(self.topic_prefix)

    @property
    def protocol(self) -> str:
        """``security.protocol``, decided."""
        return self.security or ("PLAINTEXT" if self.username is None else "SASL_PLAINTEXT")

    def group_of(self, service: str) -> str:
        return f"{self.group}-{service}"

    def transactional_id(self, service: str) -> str:
        return f"{self.group}-{service}-{self.instance_id}"


class VaultSettings(Settings):
    """How to fetch recordings: from Vault's API, or from its buckets by a source map."""

    env_prefix: ClassVar[str] = "PLATEFLOW_VAULT_"

    sources_file: FilePath | None = Field(
        default=None,
        description="YAML or JSON file for direct bucket access: source name -> "
        "{bucket, endpoint, region, access_key, secret_key, path_style}.",
    )
    uri: HttpUrl | None = Field(
        default=None,
        description="Base address of Vault's API, such as https://vault.example/api. "
        "May be left out where a source map covers every source.",
        json_schema_extra={"default": "required"},
        validation_alias=AliasChoices("STORAGE_URI", "VAULT_API_URL", "KERBEROS_STORAGE_URI"),
    )
    access_key: SecretStr | None = Field(
        default=None,
        description="Access key of the Vault account.",
        json_schema_extra={"default": "required"},
        validation_alias=AliasChoices("STORAGE_ACCESS_KEY", "VAULT_ACCESS_KEY", "KERBEROS_STORAGE_ACCESS_KEY"),
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Secret key of the Vault account.",
        json_schema_extra={"default": "required"},
        validation_alias=AliasChoices(
            "STORAGE_SECRET", "STORAGE_SECRET_KEY", "VAULT_SECRET_KEY", "KERBEROS_STORAGE_SECRET"
        ),
    )
    allowed_hosts: Names = Field(
        default=(),
        description="Hosts (`storage.example` or `storage.example:9000`, comma-separated) that signed URLs "
        "may point to, besides Vault's own. A name that leads to this machine or to a link-local address does not "
        "count; the address itself does.",
    )
    connect_timeout_s: Seconds = Field(default=10.0, description="Seconds to wait for a connection to Vault.")
    read_timeout_s: Seconds = Field(default=30.0, description="Seconds to wait for the next bytes of a recording.")
    decryption_keys: Secrets = Field(
        default=(),
        description="Symmetric keys of agents that encrypt their recordings, comma-separated; each is tried.",
        validation_alias=AliasChoices("AGENT_ENCRYPTION_SYMMETRIC_KEY"),
    )

    @field_validator("uri", "access_key", "secret_key")
    @classmethod
    def _vault_or_source_map(cls, value: Any, info: ValidationInfo) -> Any:
        without_vault = info.data.get("sources_file") is not None and info.data.get("uri") is None
        if value is None and not without_vault:
            raise ValueError("missing")
        return value


class BucketSettings(Settings):
    """A folder, or a bucket of S3 and how to reach it."""

    url: str = Field(min_length=1, description="A folder, or s3://bucket/prefix.")
    endpoint: HttpUrl | None = Field(default=None, description="Address of the S3 server; not set: AWS itself.")
    region: str = Field(default="us-east-1", description="Region of the bucket.")
    access_key: SecretStr | None = Field(
        default=None, description="S3 access key; not set: whatever boto3 finds by itself (AWS_*, a role)."
    )
    secret_key: SecretStr | None = Field(default=None, description="S3 secret key.")
    path_style: bool = Field(
        default=True,
        description="Bucket in the path of the address (MinIO, most S3 servers) instead of its host name.",
    )

    @field_validator("url")
    @classmethod
    def _folder_or_bucket(cls, value: str) -> str:
        if value.startswith("s3://") and not urlsplit(value).netloc:
            raise ValueError("needs a bucket: s3://bucket/prefix")
        if "://" in value and not value.startswith("s3://"):
            raise ValueError("needs a folder or s3://bucket/prefix")
        return value

    @field_validator("secret_key")
    @classmethod
    def _keys_come_in_pairs(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) != (info.data.get("access_key") is None):
            raise ValueError("an S3 access key and its secret key are set together, or neither")
        return value


class StoreSettings(BucketSettings):
    """Where clips lie between ingest and inference."""

    env_prefix: ClassVar[str] = "PLATEFLOW_CLIPS_"

    url: str = Field(
        default="./plateflow-data/clips",
        min_length=1,
        description="A folder that the services share, or s3://bucket/prefix.",
    )
    max_age_hours: float = Field(
        default=24.0,
        gt=0,
        description="What is older is removed; at least the retention of the topic that points to it.",
    )
    max_bytes: ByteSize = Field(
        default=ByteSize(50_000_000_000),
        gt=0,
        description="Above this size in all the oldest is removed first (`50GB`, `500MiB`).",
        json_schema_extra={"default": "50GB"},
    )


class ObjectStoreSettings(StoreSettings):
    """Where best shots lie, which messages point to."""

    env_prefix: ClassVar[str] = "PLATEFLOW_OBJECTS_"

    url: str = Field(
        default="./plateflow-data/objects",
        min_length=1,
        description="A folder for best shots, or s3://bucket/prefix.",
    )
    max_age_hours: float = Field(default=720.0, gt=0, description="Best shots older than this are removed.")


class ObservabilitySettings(Settings):
    """What a service tells about itself."""

    env_prefix: ClassVar[str] = "PLATEFLOW_"

    http_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - Prometheus and the orchestrator ask from outside
        description="Interface on which /metrics, /healthz and /readyz answer.",
    )
    http_port: Port = Field(default=8080, description="Port of /metrics, /healthz and /readyz; 0 takes any free one.")
    log_level: Level = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR. Plates are logged at DEBUG only."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal, JSON lines elsewhere."
    )
    metrics_cameras: int = Field(
        default=500,
        ge=0,
        le=10_000,
        description="Cameras that have metrics of their own; those that come later are counted together.",
    )
    tracing_endpoint: HttpUrl | None = Field(
        default=None,
        description="OpenTelemetry collector that takes OTLP over HTTP, such as http://collector:4318; needs "
        "plateflow[tracing]. Not set: no tracing.",
        validation_alias=AliasChoices("OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    tracing_ratio: float = Field(
        default=1.0, ge=0, le=1, description="Share of the recordings that are traced, the same ones by all services."
    )


class ServiceSettings(Settings):
    """Base of the settings of a service; a subclass adds the groups it needs and its own fields.

    A group's default may be an instance that changes some values:
    ``observability: ObservabilitySettings = ObservabilitySettings(http_port=9101)``.
    """

    observability: ObservabilitySettings = ObservabilitySettings()


class StreamSettings(ServiceSettings):
    """Base of the settings of a service that consumes from Kafka."""

    kafka: KafkaSettings


def folder(url: str) -> Path | None:
    """The folder that a store's ``url`` names, None for a bucket."""
    return None if url.startswith("s3://") else Path(url).expanduser()
