"""The dashboards of the system: overview, and one for each service. Data only."""

from __future__ import annotations

from services.cli.dashboard_panels import (
    Dashboard,
    Query,
    each,
    keeping_up,
    mean,
    named,
    number,
    outcomes,
    process,
    quantile,
    rate,
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
_STAGES = rate("plateflow_inference_stage_seconds_sum", "stage")
BUSY = " or ".join(
    (
        named("ingest: fetch", rate("plateflow_ingest_fetch_seconds_sum")),
        f'label_replace({_STAGES}, "step", "inference: $1", "stage", "(.*)")',
        named("aggregator: flush", rate("plateflow_aggregator_flush_seconds_sum")),
        named("commit", rate("plateflow_transaction_seconds_sum")),
    )
)
"""Seconds of work per second, by step."""
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
                number(
                    "Takes most of the time",
                    "Seconds of work per second of the busiest step: what to make faster, or to spread.",
                    f"topk(1, {BUSY})",
                    unit="s",
                    legend="{{step}}",
                ),
                number(
                    "Cameras in an hour",
                    "That sent a recording. The dashboard of cameras says which ones fell silent.",
                    "count(max by (camera) (plateflow_camera_last_recording_timestamp_seconds) > time() - 3600)"
                    " or vector(0)",
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
                    "Decompressed, by way.",
                    each("plateflow_ingest_fetched_bytes_total", "how"),
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
                    "Batch fill",
                    "Images per call of a model, of those aimed at. Cores idle? Raise PLATEFLOW_INFERENCE_WORKERS.",
                    Query(
                        mean("plateflow_inference_batch_size", "model")
                        + " / on (model) max by (model) (plateflow_inference_batch_limit)",
                        "{{model}}",
                    ),
                    unit="percentunit",
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
        (
            "Graphics cards",
            (
                series(
                    "Card in use",
                    "Share of the time. Low while the lag grows: the CPU is the bottleneck. No data: no card.",
                    Query("plateflow_gpu_utilization_ratio", "{{instance}} {{gpu}}"),
                    unit="percentunit",
                ),
                series(
                    "Memory of the card",
                    "Share in use, by whoever.",
                    Query("plateflow_gpu_memory_used_bytes / plateflow_gpu_memory_total_bytes", "{{instance}} {{gpu}}"),
                    unit="percentunit",
                ),
                series(
                    "Temperature of the card",
                    "Above 85 it slows itself down.",
                    Query("plateflow_gpu_temperature_celsius", "{{instance}} {{gpu}}"),
                    unit="celsius",
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
                    "Off plan: a wrong homography. Dropped: another run counts already. Late: far behind its camera.",
                    Query(rate("plateflow_aggregator_late_tracks_total"), "late"),
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
