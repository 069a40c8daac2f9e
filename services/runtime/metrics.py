"""Every metric of plateflow, with its meaning; /metrics shows them.

Rules
- Names begin with ``plateflow_``, units are seconds and bytes, counters end in ``_total`` by themselves.
- Labels come of small fixed sets. Never a plate, a camera or a key: plates are secret, cameras are many.
- A process shows the metrics of all services; those of the others stay at zero or without labels.
- A service shows its known label values from its start (`start_at_zero`): a counter that appears with 1 would hide its
  first event from Prometheus' `increase`.
- What to do about a metric is told in docs/runbooks.md, by the alert that reads it.
"""

from __future__ import annotations

import platform
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLIP_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
QUICK_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
SHARE_BUCKETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"plateflow_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"plateflow_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"plateflow_{name}", meaning, labels, buckets=buckets, registry=REGISTRY)


# ---- every service: the loop -------------------------------------------------------------------------------
BUILD = Info("plateflow_build", "Version of plateflow and of Python.", registry=REGISTRY)
BUILD.info({"version": version("plateflow"), "python": platform.python_version()})

READY = _gauge("ready", "1 while /readyz answers 200, else 0.", "service")
CHECK_OK = _gauge("check_ok", "1 while this check of /readyz passes, else 0; /readyz says why.", "service", "check")
RECORDS = _counter(
    "records",
    "Records whose results are committed, by outcome: handled, rejected (dead letter).",
    "service",
    "outcome",
)
TRANSACTIONS = _counter("transactions", "Kafka transactions by outcome: committed, aborted.", "service", "outcome")
TRANSACTION_SECONDS = _histogram(
    "transaction_seconds", "From the beginning of a transaction to its commit.", QUICK_BUCKETS, "service"
)
IN_FLIGHT = _gauge("in_flight", "Records taken from Kafka whose handling has not finished.", "service")
LAG_RECORDS = _gauge(
    "lag_records",
    "Records between our committed offset and the end of the log.",
    "service",
    "topic",
    "partition",
)
LAG_SECONDS = _gauge(
    "lag_seconds",
    "Age of the oldest record in hand, else of the newest one committed; 0 where nothing is left to do.",
    "service",
)
RETRIES = _counter("retries", "Tries that failed and will be repeated, by reason.", "service", "reason")
DEAD_LETTERS = _counter("dead_letters", "Records given up on, by reason.", "service", "reason")
RECORDS_EXPIRED = _counter(
    "records_expired", "Records that Kafka deleted before they were read: retention is too short.", "service"
)
REPLAYED_RECORDS = _counter(
    "replayed_records",
    "Records read again after an assignment only to restore state; nothing published.",
    "service",
)
STORE_REMOVED = _counter("store_removed_files", "Files removed by a sweep, by store: clips, objects.", "store")
DISK_FREE = _gauge("disk_free_ratio", "Free share of the local disk that holds a store: clips, objects, data.", "store")

# ---- ingest ------------------------------------------------------------------------------------------------
RECORDINGS = _counter(
    "ingest_recordings",
    "Announced recordings by outcome: stored, duplicate, skipped-ondemand, skipped-derived, ...",
    "outcome",
)
FETCH_SECONDS = _histogram(
    "ingest_fetch_seconds",
    "Fetching one recording, by way: signed-url, blob, storage (sign, then fetch), bucket.",
    CLIP_BUCKETS,
    "how",
)
FETCHED_BYTES = _counter("ingest_fetched_bytes", "Bytes of recordings fetched, decompressed.")

# ---- inference ---------------------------------------------------------------------------------------------
STAGE_SECONDS = _histogram(
    "inference_stage_seconds",
    "Seconds of one step of the pipeline, by stage: decode, detect, track, read.",
    STAGE_BUCKETS,
    "stage",
)
CLIP_SECONDS = _histogram("inference_clip_seconds", "One clip from taking it to its results.", CLIP_BUCKETS)
CLIP_FETCHES = _counter(
    "inference_clip_fetches",
    "Clips opened, by where from: store, vault (missing in the store, fetched again).",
    "source",
)
FRAMES_DECODED = _counter("inference_frames_decoded", "Frames decoded.")
FRAMES_SAMPLED = _counter("inference_frames_sampled", "Frames handed to the detector.")
DETECTIONS = _counter("inference_detections", "Plate boxes found.")
TRACKS = _counter("inference_tracks", "Tracks published.")
READINGS = _counter(
    "inference_readings",
    "Consolidated readings by outcome: decided, partial (has undecided characters), dropped.",
    "outcome",
)
READING_CONFIDENCE = _histogram(
    "inference_reading_confidence_ratio",
    "Confidence of the readings published; when it sinks, cameras got dirty, dark or moved.",
    SHARE_BUCKETS,
)
MODELS = _gauge(
    "inference_models_info", "1 for the weights that run, detector and recogniser.", "detector", "recogniser"
)
BATCH_SIZE = _histogram(
    "inference_batch_size", "Images in one call of a model: detector, recogniser.", BATCH_BUCKETS, "model"
)
DECODER_RESTARTS = _counter("inference_decoder_restarts", "Decoding children replaced, by reason.", "reason")

# ---- aggregator --------------------------------------------------------------------------------------------
OBSERVATIONS = _counter("aggregator_observations", "Observations taken in.")
SIGHTINGS = _counter("aggregator_sightings", "Sightings published.")
SUPPRESSED = _counter(
    "aggregator_suppressed_observations",
    "Observations not published, by reason: near (in time), stationary.",
    "reason",
)
PASSAGES = _counter("aggregator_passages", "Passages published, by kind: new, continued (prolongs another).", "kind")
LEDGER_DROPS = _counter(
    "aggregator_ledger_drops",
    "Track messages dropped, because another run of their recording counts already.",
)
OFF_PLAN = _counter(
    "aggregator_off_plan_sightings", "Sightings beyond the horizon or off the plan: counted, not drawn."
)
FLUSH_SECONDS = _histogram("aggregator_flush_seconds", "One flush: dirty files and checkpoint.", QUICK_BUCKETS)
FILES_WRITTEN = _counter("aggregator_written_files", "Files written, by kind: heatmap, sightings, checkpoint.", "kind")
OPEN_CAMERAS = _gauge("aggregator_open_cameras", "Cameras with state in memory.")
CAMERA_RELOADS = _counter(
    "aggregator_camera_reloads",
    "Reloads of the camera file by outcome: applied, refused (the last good one stays).",
    "outcome",
)


# ---- known label values -------------------------------------------------------------------------------------
_OF_EVERY_SERVICE: tuple[tuple[Counter, tuple[str, ...]], ...] = (
    (RECORDS, ("handled", "rejected")),
    (TRANSACTIONS, ("committed", "aborted")),
)
_OF_ONE_SERVICE: dict[str, tuple[tuple[Counter | Histogram, tuple[str, ...]], ...]] = {
    "ingest": (
        (RECORDINGS, ("stored", "found-in-store", "duplicate", "skipped-ondemand", "skipped-derived")),
        (FETCH_SECONDS, ("signed-url", "blob", "storage", "bucket")),
        (STORE_REMOVED, ("clips",)),
    ),
    "inference": (
        (STAGE_SECONDS, ("decode", "detect", "track", "read")),
        (CLIP_FETCHES, ("store", "vault")),
        (READINGS, ("decided", "partial", "dropped")),
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
    for one in (IN_FLIGHT, LAG_SECONDS, TRANSACTION_SECONDS, RECORDS_EXPIRED, REPLAYED_RECORDS):
        one.labels(service)
    for counter, outcomes in _OF_EVERY_SERVICE:
        for outcome in outcomes:
            counter.labels(service, outcome)
    for metric, values in _OF_ONE_SERVICE.get(service, ()):
        for value in values:
            metric.labels(value)
