"""The values of labels: known ones are shown from a service's start, cameras as many as one can look at.

Rules
- A counter that appears with 1 would hide its first event from Prometheus' `increase`; so what is known starts at 0.
- Cameras are many, and every name is a series for good: those that come after the first so many share one label.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from services.runtime.metrics import (
    BATCH_SIZE,
    CAMERA_RELOADS,
    CLIP_FETCHES,
    EVENT_AGE,
    FETCH_SECONDS,
    FETCHED_BYTES,
    FILES_WRITTEN,
    IN_FLIGHT,
    LAG_SECONDS,
    PASSAGES,
    QUEUE_FILL,
    READINGS,
    READY,
    RECORDINGS,
    RECORDS,
    RECORDS_EXPIRED,
    REJECTIONS,
    REPLAYED_RECORDS,
    STAGE_SECONDS,
    STORE_REMOVED,
    SUPPRESSED,
    TRANSACTION_SECONDS,
    TRANSACTIONS,
)

OTHERS = "(others)"
_most_cameras = 500
_cameras: set[str] = set()


def name_cameras(most: int) -> None:
    """How many cameras get metrics of their own."""
    global _most_cameras
    _most_cameras = most


def camera(name: str) -> str:
    """The label for a camera: its name while there is room, else one label for all the others."""
    if name not in _cameras:
        if len(_cameras) >= _most_cameras:
            return OTHERS
        _cameras.add(name)
    return name


# ---- known label values -------------------------------------------------------------------------------------
_OF_EVERY_SERVICE: tuple[tuple[Counter, tuple[str, ...]], ...] = (
    (RECORDS, ("handled", "rejected")),
    (TRANSACTIONS, ("committed", "aborted")),
)
_OF_ONE_SERVICE: dict[str, tuple[tuple[Counter | Histogram, tuple[str, ...]], ...]] = {
    "ingest": (
        (RECORDINGS, ("stored", "found-in-store", "duplicate", "skipped-ondemand", "skipped-derived")),
        (FETCH_SECONDS, ("signed-url", "blob", "storage", "bucket")),
        (FETCHED_BYTES, ("signed-url", "blob", "storage", "bucket")),
        (STORE_REMOVED, ("clips",)),
    ),
    "inference": (
        (STAGE_SECONDS, ("decode", "detect", "track", "read")),
        (CLIP_FETCHES, ("store", "vault")),
        (READINGS, ("decided", "partial", "dropped")),
        (
            REJECTIONS,
            ("small", "low-score", "masked", "outside", "no-vehicle", "single-box", "few-characters", "unsure"),
        ),
        (BATCH_SIZE, ("detector", "recogniser")),
        (STORE_REMOVED, ("objects",)),
    ),
    "aggregator": (
        (SUPPRESSED, ("near", "stationary")),
        (PASSAGES, ("new", "continued")),
        (FILES_WRITTEN, ("heatmap", "sightings", "checkpoint")),
        (CAMERA_RELOADS, ("applied", "refused")),
    ),
}


def start_at_zero(service: str) -> None:
    """Show the metrics of ``service`` before anything has happened, as unready and with zeros."""
    READY.labels(service).set(0)
    for one in (IN_FLIGHT, QUEUE_FILL, EVENT_AGE, LAG_SECONDS, TRANSACTION_SECONDS, RECORDS_EXPIRED, REPLAYED_RECORDS):
        one.labels(service)
    for counter, outcomes in _OF_EVERY_SERVICE:
        for outcome in outcomes:
            counter.labels(service, outcome)
    for metric, values in _OF_ONE_SERVICE.get(service, ()):
        for value in values:
            metric.labels(value)
