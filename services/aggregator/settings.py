"""The settings of the aggregator."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AliasChoices, Field, FilePath

from services.aggregator.core.config import Options
from services.runtime.settings import (
    BucketSettings,
    KafkaSettings,
    ObservabilitySettings,
    Seconds,
    Settings,
    StreamSettings,
)


class RulesSettings(Settings):
    """The numbers of deduplication, passages and heatmaps. A changed one takes effect after the next flush."""

    env_prefix: ClassVar[str] = "PLATEFLOW_AGGREGATOR_"

    window_ms: int = Field(
        default=200, ge=0, description="Sightings of a plate lie at least this far apart; 0 = no deduplication."
    )
    stationary_ms: int = Field(
        default=0, ge=0, description="A plate at the same place is published at most this often; 0 = off."
    )
    stationary_px: float = Field(
        default=20.0, ge=0, description="How near two box centres are, in pixels, to be the same place."
    )
    horizon_s: Seconds = Field(
        default=600.0,
        description="A recording that starts further behind its camera's newest is deduplicated only within itself.",
    )
    gap_s: float = Field(
        default=10.0, ge=0, description="A passage continues another of the same plate that is at most this far away."
    )
    cell: int = Field(
        default=40, ge=1, description="Side of an image-plane cell in pixels, for cameras that name none."
    )
    flush_s: Seconds = Field(
        default=30.0, description="A camera's files are written at most this often, and at every handing over."
    )
    former_partitions: int | None = Field(
        default=None,
        ge=1,
        description="Number of partitions that `tracks` had, to finish with before `plateflow aggregator --migrate`.",
    )

    @property
    def options(self) -> Options:
        return Options(
            window_ms=self.window_ms,
            stationary_ms=self.stationary_ms,
            stationary_px=self.stationary_px,
            horizon_ms=round(self.horizon_s * 1000),
            gap_ms=round(self.gap_s * 1000),
        )


class DataSettings(BucketSettings):
    """Where heatmaps, sightings and checkpoints lie."""

    env_prefix: ClassVar[str] = "PLATEFLOW_DATA_"

    url: str = Field(
        default="./plateflow-data",
        min_length=1,
        description="A folder on a local disk or on a volume that honours flock, or s3://bucket/prefix "
        "on a server that decides `If-Match` on PUT atomically, as S3 does.",
        validation_alias=AliasChoices("PLATEFLOW_DATA"),
    )


class AggregatorSettings(StreamSettings):
    """Everything that the aggregator reads from its environment."""

    env_prefix: ClassVar[str] = "PLATEFLOW_"

    data: DataSettings
    cameras: FilePath | None = Field(
        default=None, description="YAML or JSON file with each camera's point pairs and plan; read again on change."
    )
    kafka: KafkaSettings
    rules: RulesSettings = RulesSettings()
    observability: ObservabilitySettings = ObservabilitySettings(http_port=8082)
