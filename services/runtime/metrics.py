"""Every metric of plateflow, with its meaning; /metrics shows them.

Rules
- Names begin with ``plateflow_``, units are seconds and bytes, counters end in ``_total`` by themselves.
- Labels come of small fixed sets; never a plate or a key. Cameras are many: only some few metrics carry
  them, and only so many names, the rest together.
- A process shows the metrics of all services; those of the others stay at zero or without labels.
- Known label values are shown from a service's start (`services.runtime.metric_labels`).
- Each says what it means and what to do about it: docs/metrics.md is generated from here, docs/runbooks.md tells more.
- Histograms are classic ones: the Python client (0.26) cannot make native ones. Their observations carry exemplars.
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
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call] # OpenMetrics would show a second series for each counter
REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CLIP_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
QUICK_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
SHARE_BUCKETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1)


ACTIONS: dict[str, str] = {}
"""Name of a metric, without `plateflow_` -> what to do about it."""


def _counter(name: str, meaning: str, *labels: str, do: str = "") -> Counter:
    ACTIONS[name] = do
    return Counter(f"plateflow_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str, do: str = "") -> Gauge:
    ACTIONS[name] = do
    return Gauge(f"plateflow_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str, do: str = "") -> Histogram:
    ACTIONS[name] = do
    return Histogram(f"plateflow_{name}", meaning, labels, buckets=buckets, registry=REGISTRY)


# ---- every service: the loop -------------------------------------------------------------------------------
BUILD = Info("plateflow_build", "Version of plateflow and of Python.", registry=REGISTRY)
ACTIONS["build"] = "Compare the replicas: two versions side by side for long are a roll-out that is stuck."
BUILD.info({"version": version("plateflow"), "python": platform.python_version()})

READY = _gauge(
    "ready",
    "1 while /readyz answers 200, else 0.",
    "service",
    do="0 for minutes: ask /readyz, or run `plateflow doctor`.",
)
CHECK_OK = _gauge(
    "check_ok",
    "1 while this check of /readyz passes, else 0; /readyz says why.",
    "service",
    "check",
    do="0: the reason on /readyz names the setting or the neighbour to mend.",
)
RECORDS = _counter(
    "records",
    "Records whose results are committed, by outcome: handled, rejected (dead letter).",
    "service",
    "outcome",
    do="Rejected ones: `plateflow deadletters list`.",
)
TRANSACTIONS = _counter(
    "transactions",
    "Kafka transactions by outcome: committed, aborted.",
    "service",
    "outcome",
    do="Aborted ones again and again: replicas come and go, or Kafka is slow.",
)
TRANSACTION_SECONDS = _histogram(
    "transaction_seconds",
    "From the beginning of a transaction to its commit.",
    QUICK_BUCKETS,
    "service",
    do="Over a second: look at the brokers, their disks and the network.",
)
QUEUE_FILL = _gauge(
    "queue_fill_ratio",
    "Records in hand, of those that may be: unfinished ones or unpublished ones, whichever is nearer its bound.",
    "service",
    do="1 all the time: this service takes nothing more until something is finished; it is the slow one.",
)
EVENT_AGE = _gauge(
    "event_age_seconds",
    "From the start of the newest recording just committed to now: event time, so upload and Vault are included.",
    "service",
    do="Much more than lag_seconds: the delay lies before plateflow, in the agents or in Vault.",
)
IN_FLIGHT = _gauge(
    "in_flight",
    "Records taken from Kafka whose handling has not finished.",
    "service",
    do="At its bound all the time: this service is the slow one; add replicas or workers.",
)
LAG_RECORDS = _gauge(
    "lag_records",
    "Records between our committed offset and the end of the log.",
    "service",
    "topic",
    "partition",
    do="Growing for long: add replicas, up to the partitions of the topic.",
)
LAG_SECONDS = _gauge(
    "lag_seconds",
    "Age of the oldest record in hand, else of the newest one committed; 0 where nothing is left to do.",
    "service",
    do="Over five minutes: see the runbook PlateflowBehind.",
)
RETRIES = _counter(
    "retries",
    "Tries that failed and will be repeated, by reason.",
    "service",
    "reason",
    do="The reason says which neighbour is down: mend that; it goes on by itself.",
)
DEAD_LETTERS = _counter(
    "dead_letters",
    "Records given up on, by reason.",
    "service",
    "reason",
    do="`plateflow deadletters list` shows each and what to do; replay them once the cause is mended.",
)
RECORDS_EXPIRED = _counter(
    "records_expired",
    "Records that Kafka deleted before they were read: retention is too short.",
    "service",
    do="Raise the retention of the topic, and announce again what is missing.",
)
REPLAYED_RECORDS = _counter(
    "replayed_records",
    "Records read again after an assignment only to restore state; nothing published.",
    "service",
    do="A peak at each start is normal; one that lasts: flush more often (PLATEFLOW_AGGREGATOR_FLUSH_S).",
)
STORE_REMOVED = _counter(
    "store_removed_files",
    "Files removed by a sweep, by store: clips, objects.",
    "store",
    do="Clips that go before they are read come from Vault again: raise PLATEFLOW_CLIPS_MAX_BYTES.",
)
DISK_FREE = _gauge(
    "disk_free_ratio",
    "Free share of the local disk that holds a store: clips, objects, data.",
    "store",
    do="Below a tenth: make room, or lower the limits of the store.",
)

# ---- ingest ------------------------------------------------------------------------------------------------
RECORDINGS = _counter(
    "ingest_recordings",
    "Announced recordings by outcome: stored, duplicate, skipped-ondemand, skipped-derived, ...",
    "outcome",
    do="None at all: look from the cameras on. Many duplicates: Vault announces twice, which is harmless.",
)
FETCH_SECONDS = _histogram(
    "ingest_fetch_seconds",
    "Fetching one recording, by way: signed-url, blob, storage (sign, then fetch), bucket.",
    CLIP_BUCKETS,
    "how",
    do="Slow: Vault, its storage or the network; raise PLATEFLOW_INGEST_WORKERS.",
)
FETCHED_BYTES = _counter(
    "ingest_fetched_bytes",
    "Bytes of recordings fetched, decompressed, by way.",
    "how",
    do="Compare with what the link to Vault can carry.",
)

# ---- inference ---------------------------------------------------------------------------------------------
STAGE_SECONDS = _histogram(
    "inference_stage_seconds",
    "Seconds of one step of the pipeline, by stage: decode, detect, track, read.",
    STAGE_BUCKETS,
    "stage",
    do="The stage with the most seconds is the one to make faster, or to spread over replicas.",
)
CLIP_SECONDS = _histogram(
    "inference_clip_seconds",
    "One clip from taking it to its results.",
    CLIP_BUCKETS,
    do="Longer than clips come apart, times workers: add replicas, or lower PLATEFLOW_SAMPLE_FPS.",
)
CLIP_FETCHES = _counter(
    "inference_clip_fetches",
    "Clips opened, by where from: store, vault (missing in the store, fetched again).",
    "source",
    do="Many from vault: the store loses clips before they are read; keep them longer.",
)
FRAMES_DECODED = _counter(
    "inference_frames_decoded", "Frames decoded.", do="Falls while lag grows: decoding is slow, see the stages."
)
FRAMES_SAMPLED = _counter(
    "inference_frames_sampled",
    "Frames handed to the detector.",
    do="Its rate under a backlog is what one worker can do: the figure for sizing.",
)
FRAMES_LOOKED = _counter(
    "inference_frames_looked",
    "Sampled frames that went through the detector, as a whole or in part; in the others nothing had moved.",
    do="As many as sampled ones in still scenes: raise PLATEFLOW_MOTION_THRESHOLD a little.",
)
DETECTIONS = _counter(
    "inference_detections",
    "Plate boxes found.",
    do="None by day: the camera shows no plates, or the detector does not know them.",
)
TRACKS = _counter(
    "inference_tracks",
    "Tracks published.",
    do="None although there are detections: plates are too small or seen too briefly.",
)
READINGS = _counter(
    "inference_readings",
    "Consolidated readings by outcome: decided, partial (has undecided characters), dropped.",
    "outcome",
    do="The share of partial or dropped ones rises: see the runbook PlateflowQualityDrift.",
)
REJECTIONS = _counter(
    "inference_rejections",
    "Boxes that do not count (small, low-score, masked, outside, no-vehicle) and tracks that are no plate to publish "
    "(single-box, few-characters, unsure), by reason.",
    "reason",
    do="One reason rises: loosen that setting or the camera's `recognise` section, or mend what it points to.",
)
READING_CONFIDENCE = _histogram(
    "inference_reading_confidence_ratio",
    "Confidence of the readings published; when it sinks, cameras got dirty, dark or moved.",
    SHARE_BUCKETS,
    do="Look at the newest best shots of each camera.",
)
MODELS = _gauge(
    "inference_models_info",
    "1 for the weights that run, detector and recogniser.",
    "detector",
    "recogniser",
    do="Two sets at a time for long: a roll-out that is stuck, so results differ by replica.",
)
BATCH_SIZE = _histogram(
    "inference_batch_size",
    "Images in one call of a model: detector, recogniser.",
    BATCH_BUCKETS,
    "model",
    do="Far below inference_batch_limit: short clips. Where cores idle under load, raise PLATEFLOW_INFERENCE_WORKERS.",
)
BATCH_LIMIT = _gauge(
    "inference_batch_limit",
    "Images in one call of a model that are aimed at; batch size over this is how full batches are.",
    "model",
    do="PLATEFLOW_DETECT_BATCH and PLATEFLOW_READ_BATCH set it.",
)
DECODER_RESTARTS = _counter(
    "inference_decoder_restarts",
    "Decoding children replaced, by reason.",
    "reason",
    do="More than a few: a camera sends what cannot be decoded; see the dead letters.",
)

# ---- aggregator --------------------------------------------------------------------------------------------
OBSERVATIONS = _counter(
    "aggregator_observations",
    "Observations taken in.",
    do="Falls behind the tracks published: see the lag of the aggregator.",
)
SIGHTINGS = _counter(
    "aggregator_sightings", "Sightings published.", do="Compare with observations: the rest was suppressed."
)
SUPPRESSED = _counter(
    "aggregator_suppressed_observations",
    "Observations not published, by reason: near (in time), stationary.",
    "reason",
    do="Normal; stationary ones are parked vehicles.",
)
PASSAGES = _counter(
    "aggregator_passages",
    "Passages published, by kind: new, continued (prolongs another).",
    "kind",
    do="Many continued ones: recordings are cut while vehicles pass, which is normal.",
)
LEDGER_DROPS = _counter(
    "aggregator_ledger_drops",
    "Track messages dropped, because another run of their recording counts already.",
    do="A few after a restart are normal; many: recordings are processed twice upstream.",
)
OFF_PLAN = _counter(
    "aggregator_off_plan_sightings",
    "Sightings beyond the horizon or off the plan: counted, not drawn.",
    do="Rising: a camera moved; give it new point pairs.",
)
LATE = _counter(
    "aggregator_late_tracks",
    "Tracks of recordings that start far behind their camera's newest: deduplicated only within themselves.",
    do="A backfill does this; without one: a clock of a camera is wrong, or a Vault forwards late.",
)
FLUSH_SECONDS = _histogram(
    "aggregator_flush_seconds",
    "One flush: dirty files and checkpoint.",
    QUICK_BUCKETS,
    do="Slow: the disk or the bucket of PLATEFLOW_DATA.",
)
FILES_WRITTEN = _counter(
    "aggregator_written_files",
    "Files written, by kind: heatmap, sightings, checkpoint.",
    "kind",
    do="None while sightings come: the aggregator cannot write; see its log.",
)
OPEN_CAMERAS = _gauge(
    "aggregator_open_cameras",
    "Cameras with state in memory.",
    do="Bounds its memory; spread cameras over more replicas.",
)
CAMERA_RELOADS = _counter(
    "aggregator_camera_reloads",
    "Reloads of the camera file by outcome: applied, refused (the last good one stays).",
    "outcome",
    do="Refused: the log names the line of the camera file.",
)


# ---- cameras -------------------------------------------------------------------------------------------------
CAMERA_RECORDINGS = _counter(
    "camera_recordings",
    "Recordings taken in, by camera.",
    "camera",
    do="None of one camera: see PlateflowCameraSilent.",
)
CAMERA_LAST = _gauge(
    "camera_last_recording_timestamp_seconds",
    "Unix time at which ingest took in the camera's newest recording.",
    "camera",
    do="Long ago for a camera that always records: look at the camera, its agent and its network.",
)
CAMERA_READINGS = _counter(
    "camera_readings",
    "Readings published, by camera and outcome: decided, partial (has undecided characters).",
    "camera",
    "outcome",
    do="A share of partial ones far above the others': clean, light or turn that camera.",
)
CAMERA_PASSAGES = _counter(
    "camera_passages", "Passages published, by camera.", "camera", do="0 by day: see its picture."
)
CAMERA_OFF_PLAN = _counter(
    "camera_off_plan_sightings",
    "Sightings beyond the horizon or off the plan, by camera.",
    "camera",
    do="Rising: this camera moved; give it new point pairs.",
)

# ---- the machine ---------------------------------------------------------------------------------------------
CHILDREN_MEMORY = _gauge(
    "children_resident_memory_bytes",
    "Resident memory of the processes that this one started: its decoders.",
    do="Rising for hours: a leak, please report it. Near the pod's limit: fewer workers.",
)
GPU_UTILISATION = _gauge(
    "gpu_utilization_ratio",
    "Share of the last second in which the card computed; not there without a card.",
    "gpu",
    do="Low while lag grows: decoding or the CPU is the bottleneck, not the card.",
)
GPU_MEMORY_USED = _gauge(
    "gpu_memory_used_bytes", "Memory of the card in use, by whoever.", "gpu", do="Near the total: lower the batches."
)
GPU_MEMORY_TOTAL = _gauge("gpu_memory_total_bytes", "Memory of the card.", "gpu", do="What there is.")
GPU_TEMPERATURE = _gauge(
    "gpu_temperature_celsius", "Temperature of the card.", "gpu", do="Over 85: it throttles; look at its cooling."
)
