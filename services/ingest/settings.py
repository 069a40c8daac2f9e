"""Settings of ingest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, ByteSize, Field

from services.runtime.settings import StoreSettings, StreamSettings, VaultSettings


class IngestSettings(StreamSettings):
    """Vault's announcements in, clips in the store and their messages out."""

    env_prefix: ClassVar[str] = "PLATEFLOW_INGEST_"

    vault: VaultSettings
    clips: StoreSettings
    results: int = Field(
        default=1,
        ge=1,
        description="Version of the results that what is ingested now belongs to; re-processing takes the next one.",
        validation_alias=AliasChoices("PLATEFLOW_RESULTS"),
    )
    max_clip_bytes: ByteSize = Field(
        default=ByteSize(2_000_000_000),
        gt=0,
        description="A larger recording becomes a dead letter (`2GB`, `500MiB`).",
        json_schema_extra={"default": "2GB"},
    )
    workers: int = Field(default=8, ge=1, le=64, description="Recordings fetched at the same time.")
    in_flight: int = Field(
        default=64, ge=1, description="Recordings being fetched, or waiting for another try, at the same time."
    )
    remembered: int = Field(
        default=100_000, ge=0, description="Recordings remembered to suppress repeated announcements; 0 = none."
    )
    retry_budget_s: float = Field(
        default=600.0,
        gt=0,
        description="A recording that fails for so many seconds while Vault is fine becomes a dead letter.",
    )
    dead_letters_in_a_row: int = Field(
        default=100, ge=0, description="So many dead letters in a row stop the service; 0 = never."
    )
    work_folder: Path | None = Field(
        default=None,
        description="Where recordings lie while they are fetched. Not set: in the clip store's own folder, or the "
        "system's temporary folder where the store is a bucket.",
    )
