"""`plateflow evaluate tracks`: clips whose vehicles are known, through the same pipeline as in the service."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from services.cli.evaluate_events import FrameRate, show
from services.cli.evaluate_plates import read_lines
from services.cli.inputs import VIDEO_SUFFIXES
from services.inference.build import Inference, build_inference
from services.inference.core.event_files import clip_name, parse_vehicles
from services.inference.core.events import Event, compare
from services.inference.core.truth import TruthError
from services.inference.settings import PipelineSettings
from services.runtime.errors import Reject, SettingsError, Stop
from services.runtime.settings import load


def tracks(
    clips: Annotated[Path, typer.Option(help="A clip, or a folder of clips (looked through to its depths).")],
    truth: Annotated[
        Path, typer.Option(help="CSV: file;time_start;time_end;plate_num, as `plateflow simulate clips` writes it.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    slack: Annotated[float, typer.Option(min=0, help="Seconds that a track may lie outside its vehicle's time.")] = 0.5,
    frame_rate: FrameRate = 0,
) -> None:
    """One track per vehicle with the right text, and no other: what is read in whole clips.

    Times count from the start of each clip. A clip without rows shows no vehicle: all that is found in it is false.
    How clips are processed is set as for `plateflow run`, by PLATEFLOW_… variables (docs/configuration.md).
    """
    started = time.monotonic()
    try:
        vehicles = parse_vehicles(read_lines(truth, "--truth"), str(truth), frame_rate)
        paths = _clips(clips, {one.clip for one in vehicles})
        built = build_inference(load(PipelineSettings, dict(os.environ)))
    except (TruthError, SettingsError, Stop) as error:
        typer.echo(f"plateflow evaluate: {error}", err=True)
        raise typer.Exit(2) from error
    try:
        events, unreadable = _look(paths, built, named=any(one.clip for one in vehicles))
    finally:
        built.close()
    read = {clip_name(path.name) for path in paths} - unreadable
    known = [one for one in vehicles if not one.clip or one.clip in read]
    report = compare(known, events, round(slack * 1000))
    show(report, Console())
    if as_json:
        more = {"clips": len(read), "unreadable": len(unreadable), "seconds": round(time.monotonic() - started, 2)}
        typer.echo(json.dumps(report.as_json() | more))
    raise typer.Exit(2 if unreadable else 0)


def _clips(clips: Path, named: set[str]) -> list[Path]:
    """All clips there are. TruthError where one that has vehicles is missing."""
    if clips.is_file():
        paths = [clips]
    elif clips.is_dir():
        paths = sorted(path for path in clips.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    else:
        raise TruthError(f"{clips} is not there; name a clip or a folder of clips with --clips")
    if not paths:
        raise TruthError(f"{clips} holds no clip; clips end in {', '.join(sorted(VIDEO_SUFFIXES))}")
    missing = sorted(name for name in named - {clip_name(path.name) for path in paths} if name)
    if missing:
        raise TruthError(f"the truth names clips that are not in {clips}: {', '.join(missing[:5])}")
    if "" in named and len(paths) > 1:
        raise TruthError(f"{clips} holds {len(paths)} clips: say in a column `file` which of them a row is about")
    return paths


def _look(paths: Sequence[Path], built: Inference, named: bool) -> tuple[list[Event], set[str]]:
    """What is found in the clips, and the names of those that cannot be read."""
    errors, events, unreadable = Console(stderr=True), [], set()
    for path in track(paths, "looking", console=errors, transient=True):
        name = clip_name(path.name)
        try:
            result = built.pipeline.process(path, 0)
        except (Reject, FileNotFoundError) as error:
            errors.print(f"{path}: {error}: left out", markup=False)
            unreadable.add(name)
            continue
        for one in result.tracks:
            first, last = one.observations[0].time_ms, one.observations[-1].time_ms
            events.append(Event(first, last, one.reading.text, name if named else ""))
    return events, unreadable
