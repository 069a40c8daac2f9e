"""`plateflow run`: the whole main job on files, without Kafka, by the very code that the services run.

In: video files, folders, patterns (`services.cli.inputs`). Out: a folder (`services.cli.outputs`), a table, one JSON
object. What is read is a function of the files and the settings; only ``seconds`` is measured.

Exit codes: 0 all read; 1 some inputs could not be read (each named on stderr), the rest is done; 2 a mistake in the
command or the settings; 130 Ctrl+C: the recording at hand is given up, all before it is kept and closed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from services.aggregator import cameras as camera_files
from services.aggregator.cameras import BadCameras
from services.aggregator.core.config import Camera, Config
from services.aggregator.settings import RulesSettings
from services.cli.reading import Job, Tally, read_all
from services.cli.run_show import print_table
from services.cli.times import parse_time
from services.contracts.kerberos import BadEvent, parse_key
from services.inference.models.factory import Device
from services.inference.settings import PipelineSettings
from services.runtime.environment import load

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)

OWN_FILES = {
    "PLATEFLOW_MAX_CLIP_SECONDS": str(7 * 86_400),
    "PLATEFLOW_MAX_CLIP_FRAMES": "100000000",
    "PLATEFLOW_DECODE_WAIT_S": "7200",
}
"""The services' limits guard against what strangers send; a person may well have a day's video."""


@app.command()
def run(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Video files, folders of them, or patterns in quotes.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; those of an earlier run there are replaced.")],
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera of all files, instead of the one that a file's name gives.")
    ] = None,
    cameras: Annotated[
        Path | None,
        typer.Option(envvar="PLATEFLOW_CAMERAS", help="YAML or JSON with each camera's point pairs and plan."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="ISO|MS",
            help="When plain files start: 2026-06-16T07:00:00Z (UTC where no zone is named) or milliseconds since "
            "1970; several of one camera follow each other. Else: the time in the name, else 0.",
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0, max=240, help="Frames looked at per second; 0: all. Else 15.")
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Nothing on stdout but one JSON object; first_seen and last_seen in ms of event time."
        ),
    ] = False,
    device: Annotated[Device | None, typer.Option(help="Where the networks run; auto: CUDA where there is.")] = None,
) -> None:
    """Read the plates in video files: passages, sightings, heatmaps, without Kafka.

    Examples:

    - `plateflow run holiday.mp4 --out results`
    - `plateflow run recordings/ 'archive/**/*.mp4' --cameras cameras.yaml --out results --json`

    Files named as Kerberos names recordings tell camera and start themselves. The folder then holds passages.csv,
    passages.jsonl, plates.jsonl, recordings.jsonl, best shots, Parquet (heatmap/, sightings/) and a heatmap of each
    camera as PNG. Settings of docs/configuration.md (inference, aggregator) hold here, too.
    """
    began = time.monotonic()
    job = Job(paths, out, _camera_name(camera), None if start is None else parse_time(start, "--start"))
    settings, config = _settings(device, fps), _config(cameras)
    tally = read_all(job, settings, config)
    print_table(tally.passages, out, to_stderr=as_json)
    if tally.failed:
        typer.echo(f"could not be read: {tally.failed} of what was named, see above", err=True)
    if as_json:
        typer.echo(json.dumps(summary(tally, time.monotonic() - began)))
    elif tally.recordings:
        typer.echo(f"results in {out}")
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
            }
            for one in tally.passages
        ],
    }


def _settings(device: Device | None, fps: float | None) -> PipelineSettings:
    chosen = {"PLATEFLOW_DEVICE": device, "PLATEFLOW_SAMPLE_FPS": None if fps is None else str(fps)}
    return load(PipelineSettings, OWN_FILES | dict(os.environ) | {k: v for k, v in chosen.items() if v is not None})


def _config(cameras: Path | None) -> Config:
    rules = load(RulesSettings)
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
