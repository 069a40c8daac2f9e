"""`plateflow run`: the whole main job on files, without Kafka, by the very code that the services run.

In: videos, photos, folders, a camera's address (`services.cli.inputs`). Out: a folder (`services.cli.outputs`), what
else is asked for (`services.cli.outputs_build`), a table, one JSON object. What is read is a function of the files and
the settings; only ``seconds`` is measured.

Exit codes: 0 all read; 1 some inputs could not be read (each named on stderr), the rest is done; 2 a mistake in the
command or the settings; 130 Ctrl+C: all that was seen before is kept and closed.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from services.aggregator import cameras as camera_files
from services.aggregator.cameras import BadCameras
from services.aggregator.core.config import Camera, Config
from services.aggregator.settings import RulesSettings
from services.cli.inputs import Kind
from services.cli.outputs_build import Wishes
from services.cli.reading import Job, Tally, read_all
from services.cli.run_show import print_table
from services.cli.times import parse_time
from services.cli.zones import gate_of
from services.contracts.kerberos import BadEvent, parse_key
from services.inference.follow import MOST_MARGIN
from services.inference.gates import Gates
from services.inference.models.factory import Device
from services.inference.settings import PipelineSettings
from services.runtime import logs
from services.runtime.environment import load
from services.runtime.settings import ObservabilitySettings

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)

OWN_FILES = {
    "PLATEFLOW_MAX_CLIP_SECONDS": str(7 * 86_400),
    "PLATEFLOW_MAX_CLIP_FRAMES": "100000000",
    "PLATEFLOW_DECODE_WAIT_S": "7200",
    "PLATEFLOW_READ_BATCH": "1",
}
"""The services' limits guard against what strangers send; a person may well have a day's video. And a plate is read as
soon as it has left, so that it is on the disk then."""

INPUT, LOOKING, RESULTS = "What to read", "How to look", "Results"
FILES, READING = "More files", "Reading"
OBJECTS, WATCHING = "Other objects than plates", "While it runs"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


@app.command()
def run(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="INPUT", help="Videos, photos, folders, patterns in quotes, or a camera's address."),
    ],
    kind: Annotated[
        Kind, _option(INPUT, "What the inputs are, where their names do not say it.", "--type", case_sensitive=False)
    ] = "auto",
    separate: Annotated[
        bool, _option(INPUT, "The photos of a folder do not follow each other: each is for itself.", "--separate")
    ] = False,
    camera: Annotated[
        str | None, _option(INPUT, "Name of the camera of all files, instead of the one that a file's name gives.")
    ] = None,
    start: Annotated[
        str | None,
        _option(
            INPUT,
            "When plain files start: 2026-06-16T07:00:00Z (UTC where no zone is named) or milliseconds since 1970; "
            "several of one camera follow each other. Else: the time in the name, else 0; of a stream, now.",
            metavar="ISO|MS",
        ),
    ] = None,
    give_up: Annotated[
        float, _option(INPUT, "Seconds that a stream may show nothing; until then it is tried again.", min=1)
    ] = 60.0,
    for_s: Annotated[
        float | None, _option(INPUT, "Seconds that a stream is watched. Else until Ctrl+C.", "--for", min=0.1)
    ] = None,
    every: Annotated[
        float | None,
        _option(LOOKING, "Seconds between the frames looked at; 0: all frames.", min=0, max=86_400, metavar="SECONDS"),
    ] = None,
    fps: Annotated[
        float | None,
        _option(LOOKING, "Frames looked at per second; 0: all. Else 15. Of photos: their rate.", min=0, max=240),
    ] = None,
    nth: Annotated[
        int | None, _option(LOOKING, "Every n-th frame of a video or stream is looked at; 1: all.", min=1, metavar="N")
    ] = None,
    max_width: Annotated[
        int, _option(LOOKING, "Wider frames are made so many pixels wide; 0: as they are.", min=0, max=16_384)
    ] = 0,
    device: Annotated[Device | None, _option(LOOKING, "Where the networks run; auto: CUDA where there is.")] = None,
    cameras: Annotated[
        Path | None,
        _option(LOOKING, "YAML or JSON with each camera's point pairs and plan.", envvar="PLATEFLOW_CAMERAS"),
    ] = None,
    zone: Annotated[
        list[str] | None,
        _option(
            LOOKING,
            "Only plates within count: `0.1,0.4 0.9,0.4 0.9,1 0.1,1` in parts of the frame, or a file that "
            "`plateflow heatmap --area` wrote. Repeatable.",
            metavar="POLYGON|FILE",
        ),
    ] = None,
    mask: Annotated[
        list[str] | None, _option(LOOKING, "Plates within do not count. Repeatable.", metavar="POLYGON|FILE")
    ] = None,
    min_width: Annotated[float | None, _option(LOOKING, "Narrower plates do not count; pixels.", min=1)] = None,
    min_height: Annotated[float | None, _option(LOOKING, "Lower plates do not count; pixels.", min=1)] = None,
    min_confidence: Annotated[
        float | None, _option(LOOKING, "Confidence that a reading needs to count.", min=0, max=1)
    ] = None,
    vehicles: Annotated[
        Path | None, _option(LOOKING, "A YOLO with COCO's classes: plates count within vehicles only.")
    ] = None,
    window: Annotated[
        int | None, _option(LOOKING, "Milliseconds within which a plate counts once; 0: each time. Else 200.", min=0)
    ] = None,
    out: Annotated[
        Path | None,
        _option(RESULTS, "Folder for the results, replaced if there are any. Without it, only what else is named."),
    ] = None,
    append: Annotated[
        bool,
        _option(
            RESULTS,
            "Keep the results of earlier runs in --out, read what they have not read, and go on where one was stopped.",
            "--append",
            "--resume",
        ),
    ] = False,
    as_json: Annotated[
        bool,
        _option(
            RESULTS, "Nothing on stdout but one JSON object; first_seen and last_seen in ms of event time.", "--json"
        ),
    ] = False,
    csv: Annotated[Path | None, _option(FILES, "`time;plate_num`: a row per vehicle, time as MM:SS.cc.")] = None,
    crops: Annotated[
        Path | None, _option(FILES, "Folder for the best crop of each passage, and manifest.csv; nothing overwritten.")
    ] = None,
    crops_min_conf: Annotated[float, _option(FILES, "Confidence that a reading needs for a crop.", min=0, max=1)] = 0.0,
    crops_limit: Annotated[int, _option(FILES, "So many crops at most; 0: all.", min=0)] = 0,
    frames: Annotated[Path | None, _option(FILES, "Folder for the whole frame of each best crop.")] = None,
    annotate: Annotated[
        Path | None, _option(FILES, "Folder for videos and photos with boxes, readings, traces and rate.")
    ] = None,
    quads: Annotated[
        Path | None,
        _option(FILES, "Text file (.txt) of plate corners, `W H name fps` and 8 numbers a line; or a folder of such."),
    ] = None,
    positions: Annotated[
        Path | None, _option(FILES, "`id,x,y` of each object in each frame: on the plan, else in pixels.")
    ] = None,
    debug: Annotated[Path | None, _option(FILES, "CSV of each box of each frame with what it reads by itself.")] = None,
    crop_margin: Annotated[
        float | None,
        _option(
            READING,
            "How much of what surrounds a plate is read with it on each side, in parts of its size. Else 0.06.",
            min=0,
            max=MOST_MARGIN,
        ),
    ] = None,
    formats: Annotated[
        str | None, _option(READING, "National formats that may settle a near-tied character: ru,eu; all; none.")
    ] = None,
    replace: Annotated[
        Path | None, _option(READING, "File of rules `regular expression => text`, applied to texts in their order.")
    ] = None,
    cyrillic: Annotated[
        bool, _option(READING, "Letters that look the same are written in Cyrillic.", "--cyrillic")
    ] = False,
    char_threshold: Annotated[
        float | None, _option(READING, "A character below this confidence becomes #.", min=0, max=1)
    ] = None,
    char_threshold_digits: Annotated[
        float | None, _option(READING, "The same for digits, where it differs.", min=0, max=1)
    ] = None,
    char_threshold_letters: Annotated[
        float | None, _option(READING, "The same for letters, where it differs.", min=0, max=1)
    ] = None,
    detector: Annotated[
        Path | None, _option(OBJECTS, "Other weights: a YOLO of any classes, .onnx, or .pt with plateflow[gpu].")
    ] = None,
    classes: Annotated[
        str | None, _option(OBJECTS, "Classes of it to follow, as person,car; else all. Only plates are read.")
    ] = None,
    show: Annotated[bool, _option(WATCHING, "A window with what is seen; q closes it and stops.", "--show")] = False,
    events: Annotated[bool, _option(WATCHING, "A line on stderr for each plate as it comes.", "--events")] = False,
    latency: Annotated[
        bool, _option(WATCHING, "How long a frame takes: mean, longest, number of frames.", "--latency")
    ] = False,
    log_file: Annotated[
        Path | None, _option(WATCHING, "Log to this file; format and level as in PLATEFLOW_LOG_FORMAT, _LEVEL.")
    ] = None,
) -> None:
    """Read the plates in videos, photos or a camera's stream: passages, sightings, heatmaps, without Kafka.

    Examples:

    - `plateflow run holiday.mp4 --out results`
    - `plateflow run recordings/ 'archive/**/*.mp4' --cameras cameras.yaml --out results --json`
    - `plateflow run photos/ --every 0.5 --csv plates.csv --annotate drawn/`
    - `plateflow run rtsp://user:password@camera/stream --out results --append --events`
    - `plateflow run street.mp4 --detector yolo.onnx --classes person,car --positions cords.csv`

    Files named as Kerberos names recordings tell camera and start themselves. The folder of --out then holds
    passages.csv, passages.jsonl, plates.jsonl, tracks.jsonl, recordings.jsonl, best shots, Parquet (heatmap/,
    sightings/) and a heatmap of each camera as PNG. Settings of docs/configuration.md (inference, aggregator) hold
    here, too. All about it: docs/run.md.
    """
    began = time.monotonic()
    if sum(one is not None for one in (every, fps, nth)) > 1:
        raise typer.BadParameter("say either --every or --fps or --nth", param_hint="which frames to look at")
    rate = fps if every is None else 1 / every if every else 0.0
    first_ms = None if start is None else parse_time(start, "--start")
    wishes = Wishes(
        csv, quads, positions, crops, crops_min_conf, crops_limit, frames, annotate, debug, events, latency, show
    )
    job = Job(paths, out, _camera_name(camera), first_ms, kind, separate, max_width, append, give_up, for_s, wishes)
    also = gate_of(zone or [], mask or [])
    reading = {
        "PLATEFLOW_CROP_MARGIN": crop_margin,
        "PLATEFLOW_FORMATS": formats,
        "PLATEFLOW_REPLACEMENTS": replace,
        "PLATEFLOW_CYRILLIC": cyrillic or None,
        "PLATEFLOW_CHAR_THRESHOLD": char_threshold,
        "PLATEFLOW_CHAR_THRESHOLD_DIGITS": char_threshold_digits,
        "PLATEFLOW_CHAR_THRESHOLD_LETTERS": char_threshold_letters,
        "PLATEFLOW_MIN_PLATE_WIDTH": min_width,
        "PLATEFLOW_MIN_PLATE_HEIGHT": min_height,
        "PLATEFLOW_MIN_CONFIDENCE": min_confidence,
        "PLATEFLOW_VEHICLE_WEIGHTS": vehicles,
    }
    chosen = {name: None if value is None else str(value) for name, value in reading.items()} | {
        "PLATEFLOW_DEVICE": device,
        "PLATEFLOW_SAMPLE_FPS": None if rate is None else repr(rate),
        "PLATEFLOW_SAMPLE_NTH": str(nth or 0) if nth or rate is not None else None,
        "PLATEFLOW_DETECTOR_WEIGHTS": None if detector is None else str(detector),
        "PLATEFLOW_CLASSES": classes,
        "PLATEFLOW_AGGREGATOR_WINDOW_MS": None if window is None else str(window),
        "PLATEFLOW_DETECT_BATCH": "1" if show or any("://" in path for path in paths) else None,
    }
    environment = OWN_FILES | dict(os.environ) | {name: value for name, value in chosen.items() if value is not None}
    with _logged(log_file):
        config = _config(cameras, environment)
        job = dataclasses.replace(job, gates=Gates(cameras, also))
        tally = read_all(job, load(PipelineSettings, environment), config)
    _tell(tally, out, as_json, time.monotonic() - began)
    raise typer.Exit(tally.exit_code)


def summary(tally: Tally, seconds: float) -> dict[str, object]:
    """The object that ``--json`` prints. Times are integer milliseconds of event time."""
    return {
        "recordings": tally.recordings,
        "frames": tally.frames,
        "seconds": round(seconds, 2),
        "passages": [
            {
                "plate": one.plate,
                "camera": one.camera,
                "first_seen": one.first_seen_ms,
                "last_seen": one.last_seen_ms,
                "confidence": one.confidence,
                "country": one.country,
            }
            | ({} if one.plate else {"label": one.label})
            for one in tally.passages
        ],
    }


def _tell(tally: Tally, out: Path | None, as_json: bool, seconds: float) -> None:
    """The table, and what was written."""
    if tally.recordings:
        print_table(tally.passages, out, to_stderr=as_json)
    if tally.failed:
        typer.echo(f"could not be read: {tally.failed} of what was named, see above", err=True)
    for line in tally.written:
        typer.echo(line, err=as_json)
    if as_json:
        typer.echo(json.dumps(summary(tally, seconds)))
    elif tally.recordings and out is not None:
        typer.echo(f"results in {out}")


@contextmanager
def _logged(path: Path | None) -> Iterator[None]:
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise typer.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--log-file") from error
    with file:
        logs.configure(load(ObservabilitySettings), "run", file)
        try:
            yield
        finally:
            logging.getLogger().handlers.clear()  # before the file is closed


def _config(cameras: Path | None, environment: dict[str, str]) -> Config:
    rules = load(RulesSettings, environment)
    if cameras is None:
        return Config(options=rules.options, default=Camera(cell=rules.cell))
    try:
        return camera_files.read(cameras, rules.options, rules.cell)
    except BadCameras as error:
        raise typer.BadParameter(str(error), param_hint="--cameras") from error


def _camera_name(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        parse_key(f"{name}/recording")
    except BadEvent:
        raise typer.BadParameter(
            "a camera's name is text like 'gate' or 'site/gate', no line breaks, no backslash", param_hint="--camera"
        ) from None
    return name
