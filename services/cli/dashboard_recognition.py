"""The dashboards about what is seen: recognition quality, and cameras. Data only."""

from __future__ import annotations

from services.cli.dashboard_panels import (
    WINDOW,
    Dashboard,
    Query,
    each,
    number,
    quantile,
    rate,
    ratio,
    series,
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
                series(
                    "Rejections per second",
                    "Boxes and tracks that do not count, by reason; docs/reading.md says what each means.",
                    each("plateflow_inference_rejections_total", "reason"),
                ),
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
                    "Share of frames looked at",
                    "In the other sampled frames nothing had moved, so the detector had a rest.",
                    Query(
                        ratio(
                            rate("plateflow_inference_frames_looked_total"),
                            rate("plateflow_inference_frames_sampled_total"),
                        ),
                        "looked at",
                    ),
                    unit="percentunit",
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


def _of(counter: str, **labels: str) -> str:
    """Events per second of each of the chosen cameras."""
    chosen = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'sum by (camera) (rate({counter}{{camera=~"$camera"{chosen}}}{WINDOW}))'


def _an_hour(counter: str) -> str:
    return f"3600 * {_of(counter)}"


_LAST = 'max by (camera) (plateflow_camera_last_recording_timestamp_seconds{camera=~"$camera"})'
CAMERAS = Dashboard(
    "plateflow-cameras",
    "plateflow: cameras",
    "Which camera is silent, which one is busy, which one reads badly? The twenty that stand out are shown.",
    (
        (
            "Now",
            (
                number(
                    "Sent within an hour",
                    "Cameras of which ingest took in a recording.",
                    f"count({_LAST} > time() - 3600) or vector(0)",
                ),
                number(
                    "Silent for an hour",
                    "Cameras that sent something since ingest started, but nothing within an hour.",
                    f"count({_LAST} <= time() - 3600) or vector(0)",
                    bad_above=0,
                ),
                number(
                    "Longest silent",
                    "The camera that sent nothing for longest.",
                    f"topk(1, time() - {_LAST})",
                    unit="s",
                    legend="{{camera}}",
                ),
                number(
                    "Busiest",
                    "Recordings an hour.",
                    f"topk(1, {_an_hour('plateflow_camera_recordings_total')})",
                    legend="{{camera}}",
                ),
            ),
        ),
        (
            "What comes in",
            (
                series(
                    "Seconds since the last recording",
                    "Of those silent longest. A line that rises steadily is a camera that stopped sending.",
                    Query(f"topk(20, time() - {_LAST})", "{{camera}}"),
                    unit="s",
                ),
                series(
                    "Recordings per hour",
                    "The busiest cameras; (others) are all beyond PLATEFLOW_METRICS_CAMERAS.",
                    Query(f"topk(20, {_an_hour('plateflow_camera_recordings_total')})", "{{camera}}"),
                ),
            ),
        ),
        (
            "What comes out",
            (
                series(
                    "Passages per hour",
                    "Vehicles. None by day, though recordings come: the camera shows no plates.",
                    Query(f"topk(20, {_an_hour('plateflow_camera_passages_total')})", "{{camera}}"),
                ),
                series(
                    "Share with undecided characters",
                    "Of the readings published; the worst cameras. Far above the others: dirt, darkness, an angle.",
                    Query(
                        "topk(20, "
                        + ratio(
                            _of("plateflow_camera_readings_total", outcome="partial"),
                            _of("plateflow_camera_readings_total"),
                        )
                        + ")",
                        "{{camera}}",
                    ),
                    unit="percentunit",
                ),
                series(
                    "Off plan per hour",
                    "Sightings beyond the horizon or the plan. Rising: this camera moved, give it new point pairs.",
                    Query(f"topk(20, {_an_hour('plateflow_camera_off_plan_sightings_total')})", "{{camera}}"),
                ),
            ),
        ),
    ),
    (("camera", "label_values(plateflow_camera_recordings_total, camera)"),),
)
