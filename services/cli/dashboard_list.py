"""The dashboards: overview, one for each service, recognition quality. Data only."""

from __future__ import annotations

from services.cli.dashboard_panels import (
    Dashboard,
    Query,
    each,
    keeping_up,
    mean,
    number,
    outcomes,
    process,
    quantile,
    rate,
    ratio,
    series,
    spread,
    transactions,
)

DISKS = series(
    "Free share of the disks",
    "Of local disks that hold clips, best shots and heatmaps. Buckets are not shown.",
    Query("min by (store) (plateflow_disk_free_ratio)", "{{store}}"),
    unit="percentunit",
)
OVERVIEW = Dashboard(
    "plateflow-overview",
    "plateflow: overview",
    "Is it keeping up, is anything lost, and what is slow?",
    (
        (
            "Now",
            (
                number("Not ready", "Processes whose /readyz answers 503.", "sum(1 - plateflow_ready)", bad_above=0),
                number(
                    "Alerts firing",
                    "docs/runbooks.md says for each what to do.",
                    'count(ALERTS{alertname=~"Plateflow.*", alertstate="firing"}) or vector(0)',
                    bad_above=0,
                ),
                number(
                    "Furthest behind", "The slowest service.", "max(plateflow_lag_seconds)", unit="s", bad_above=300
                ),
                number(
                    "Dead letters in an hour",
                    "plateflow deadletters list shows them.",
                    'sum(increase(plateflow_records_total{outcome="rejected"}[1h]))',
                    bad_above=0,
                ),
                number(
                    "Recordings per minute",
                    "Finished by inference.",
                    f"60 * {rate('plateflow_records_total', service='inference')}",
                ),
                number(
                    "Sightings per minute",
                    "Published on plateflow.plates.",
                    f"60 * {rate('plateflow_aggregator_sightings_total')}",
                ),
            ),
        ),
        ("Is it keeping up?", keeping_up()),
        ("What comes out?", outcomes()),
        (
            "What is slow?",
            (
                series(
                    "Seconds of work per second",
                    "Of each step. The largest one is what to make faster, or to spread over more replicas.",
                    Query(rate("plateflow_ingest_fetch_seconds_sum"), "ingest: fetch"),
                    each("plateflow_inference_stage_seconds_sum", "stage", "inference: "),
                    Query(rate("plateflow_aggregator_flush_seconds_sum"), "aggregator: flush"),
                    each("plateflow_transaction_seconds_sum", "service", "commit: "),
                    unit="s",
                ),
                series(
                    "Seconds per step, 95 %",
                    "What one recording waits for.",
                    Query(quantile(0.95, "plateflow_ingest_fetch_seconds"), "ingest: fetch"),
                    Query(quantile(0.95, "plateflow_inference_clip_seconds"), "inference: clip"),
                    Query(quantile(0.95, "plateflow_aggregator_flush_seconds"), "aggregator: flush"),
                    unit="s",
                ),
                series(
                    "Frames per second",
                    "Decoded, and of these looked at (PLATEFLOW_SAMPLE_FPS).",
                    Query(rate("plateflow_inference_frames_decoded_total"), "decoded"),
                    Query(rate("plateflow_inference_frames_sampled_total"), "looked at"),
                ),
            ),
        ),
        ("Processes", (*process(), DISKS)),
    ),
)

INGEST = Dashboard(
    "plateflow-ingest",
    "plateflow: ingest",
    "Vault's announcements in, clips out.",
    (
        ("Is it keeping up?", keeping_up("ingest")),
        (
            "Recordings",
            (
                series(
                    "Announced recordings per second",
                    "By outcome. Many duplicates: Vault announces twice. None: look from the cameras on.",
                    each("plateflow_ingest_recordings_total", "outcome"),
                    unit="ops",
                ),
                series(
                    "Seconds per fetch",
                    "One recording from Vault into the clip store. Slow: Vault, its storage, the network.",
                    *spread("plateflow_ingest_fetch_seconds"),
                    unit="s",
                ),
                series(
                    "Fetches per second",
                    "By way: signed-url, blob, storage, bucket. A change of way says that the first one fails.",
                    each("plateflow_ingest_fetch_seconds_count", "how"),
                    unit="ops",
                ),
                series(
                    "Bytes fetched per second",
                    "Decompressed.",
                    Query(rate("plateflow_ingest_fetched_bytes_total")),
                    unit="Bps",
                ),
                series(
                    "Files swept per second",
                    "Clips removed by age or for room (PLATEFLOW_CLIPS_MAX_AGE_HOURS, PLATEFLOW_CLIPS_MAX_BYTES).",
                    each("plateflow_store_removed_files_total", "store", store="clips"),
                ),
            ),
        ),
        ("What becomes of the records?", outcomes("ingest") + transactions("ingest")),
        ("Process", process("ingest")),
    ),
)

INFERENCE = Dashboard(
    "plateflow-inference",
    "plateflow: inference",
    "Clips in, tracks of plates out.",
    (
        ("Is it keeping up?", keeping_up("inference")),
        (
            "What is slow?",
            (
                series(
                    "Seconds per clip",
                    "From taking it to its results.",
                    *spread("plateflow_inference_clip_seconds"),
                    unit="s",
                ),
                series(
                    "Seconds of work per second",
                    "By stage; decoding is what the pipeline waits for frames.",
                    each("plateflow_inference_stage_seconds_sum", "stage"),
                    unit="s",
                ),
                series(
                    "Seconds per clip and stage",
                    "The mean.",
                    Query(mean("plateflow_inference_stage_seconds", "stage"), "{{stage}}"),
                    unit="s",
                ),
                series(
                    "Frames per second",
                    "Decoded, and of these looked at (PLATEFLOW_SAMPLE_FPS).",
                    Query(rate("plateflow_inference_frames_decoded_total"), "decoded"),
                    Query(rate("plateflow_inference_frames_sampled_total"), "looked at"),
                ),
                series(
                    "Images per call of a model",
                    "The mean. Small batches cost: raise PLATEFLOW_DETECT_BATCH, PLATEFLOW_READ_BATCH.",
                    Query(mean("plateflow_inference_batch_size", "model"), "{{model}}"),
                ),
                series(
                    "Clips opened per second",
                    "From Vault: the store lost them before they were read. Keep clips longer.",
                    each("plateflow_inference_clip_fetches_total", "source"),
                    unit="ops",
                ),
            ),
        ),
        (
            "What it finds",
            (
                series(
                    "Found per second",
                    "Plate boxes, and the tracks that they make.",
                    Query(rate("plateflow_inference_detections_total"), "boxes"),
                    Query(rate("plateflow_inference_tracks_total"), "tracks"),
                ),
                series(
                    "Decoders replaced per second",
                    "By reason; no data: none. More than a few: a camera sends what cannot be decoded.",
                    each("plateflow_inference_decoder_restarts_total", "reason"),
                    unit="ops",
                ),
                series(
                    "Models",
                    "Which weights run, on how many processes.",
                    Query(
                        "count by (detector, recogniser) (plateflow_inference_models_info)",
                        "{{detector}}, {{recogniser}}",
                    ),
                ),
            ),
        ),
        ("What becomes of the records?", outcomes("inference") + transactions("inference")),
        ("Process", process("inference")),
    ),
)

AGGREGATOR = Dashboard(
    "plateflow-aggregator",
    "plateflow: aggregator",
    "Tracks in, plates, passages and heatmaps out.",
    (
        ("Is it keeping up?", keeping_up("aggregator")),
        (
            "What comes out?",
            (
                series(
                    "Observations and sightings per second",
                    "What came in, and what was published after deduplication.",
                    Query(rate("plateflow_aggregator_observations_total"), "observations"),
                    Query(rate("plateflow_aggregator_sightings_total"), "sightings"),
                ),
                series(
                    "Suppressed per second",
                    "Near in time to a published one, or of a standing vehicle.",
                    each("plateflow_aggregator_suppressed_observations_total", "reason"),
                ),
                series(
                    "Passages per second",
                    "New ones, and those that continue another across a recording's end.",
                    each("plateflow_aggregator_passages_total", "kind"),
                ),
                series(
                    "Counted, not drawn, per second",
                    "Off plan: a homography or its plan is wrong. Dropped: another run counts already.",
                    Query(rate("plateflow_aggregator_off_plan_sightings_total"), "off plan"),
                    Query(rate("plateflow_aggregator_ledger_drops_total"), "dropped"),
                ),
                series(
                    "Camera file",
                    "Reloads per second. Refused: the log names the line.",
                    each("plateflow_aggregator_camera_reloads_total", "outcome"),
                ),
                series(
                    "Cameras in memory",
                    "Those with open passages or hours that are not written yet.",
                    Query("sum(plateflow_aggregator_open_cameras)", "cameras"),
                ),
            ),
        ),
        (
            "Files",
            (
                series(
                    "Seconds per flush",
                    "Dirty files and checkpoint. Slow: the disk below PLATEFLOW_DATA.",
                    *spread("plateflow_aggregator_flush_seconds"),
                    unit="s",
                ),
                series("Files per second", "By kind.", each("plateflow_aggregator_written_files_total", "kind")),
                series(
                    "Records replayed per second",
                    "Read again after an assignment, to restore state. A peak at each start is normal.",
                    each("plateflow_replayed_records_total", "service", service="aggregator"),
                ),
            ),
        ),
        ("What becomes of the records?", outcomes("aggregator") + transactions("aggregator")),
        ("Process", process("aggregator")),
    ),
)

_READINGS = "plateflow_inference_readings_total"
QUALITY = Dashboard(
    "plateflow-quality",
    "plateflow: recognition quality",
    "Do the readings stay as good as they were? A drift points to a camera that got dirty, dark or moved.",
    (
        (
            "Readings",
            (
                series(
                    "Share with undecided characters",
                    "Of the readings published: those that hold a #. The alert compares 6 hours with the week.",
                    Query(
                        ratio(rate(_READINGS, outcome="partial"), rate(_READINGS, outcome="decided|partial")),
                        "now",
                    ),
                    Query("plateflow:readings_partial:ratio_6h", "6 hours"),
                    Query("plateflow:readings_partial:ratio_7d", "7 days"),
                    unit="percentunit",
                ),
                series(
                    "Share dropped",
                    "Of all tracks: too few decided characters or too little confidence to be published.",
                    Query(
                        ratio(rate(_READINGS, outcome="dropped"), rate(_READINGS)),
                        "dropped",
                    ),
                    unit="percentunit",
                ),
                series(
                    "Confidence",
                    "Of the readings published. Sinking: look at the newest best shots of each camera.",
                    Query(quantile(0.5, "plateflow_inference_reading_confidence_ratio"), "median"),
                    Query(quantile(0.1, "plateflow_inference_reading_confidence_ratio"), "lowest tenth"),
                    unit="percentunit",
                ),
                series("Readings per second", "By outcome.", each("plateflow_inference_readings_total", "outcome")),
            ),
        ),
        (
            "What leads to them",
            (
                series(
                    "Boxes per frame looked at",
                    "A jump: the detector sees plates that are none, or a camera was turned.",
                    Query(
                        ratio(
                            rate("plateflow_inference_detections_total"),
                            rate("plateflow_inference_frames_sampled_total"),
                        ),
                        "boxes",
                    ),
                ),
                series(
                    "Tracks per recording",
                    "Sinking to zero by day: cameras record, but show no plates.",
                    Query(
                        ratio(rate("plateflow_inference_tracks_total"), rate("plateflow_inference_clip_seconds_count")),
                        "tracks",
                    ),
                ),
                series(
                    "Sightings per passage",
                    "Few: vehicles are seen only in single frames; raise PLATEFLOW_SAMPLE_FPS.",
                    Query(
                        ratio(
                            rate("plateflow_aggregator_sightings_total"), rate("plateflow_aggregator_passages_total")
                        ),
                        "sightings",
                    ),
                ),
                series(
                    "Share off plan",
                    "Of the sightings. Rising: a camera moved, its homography no longer fits.",
                    Query(
                        ratio(
                            rate("plateflow_aggregator_off_plan_sightings_total"),
                            rate("plateflow_aggregator_sightings_total"),
                        ),
                        "off plan",
                    ),
                    unit="percentunit",
                ),
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, INGEST, INFERENCE, AGGREGATOR, QUALITY)
