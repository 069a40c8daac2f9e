"""`plateflow simulate …`: the demo's parts one by one, to try a real installation or to make load."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)
_STORAGE = "STORAGE_URI, STORAGE_ACCESS_KEY and STORAGE_SECRET"


@app.callback()
def simulate() -> None:
    """Sample clips, a Vault stand-in, a camera that uploads, an embedded broker."""


@app.command()
def clips(
    out: Annotated[Path, typer.Argument(help="Folder for the clips, truth.json and cameras.yaml.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other plates, other moments.")] = 1,
    cameras: Annotated[int, typer.Option(min=1, max=4, help="How many of the cameras.")] = 4,
) -> None:
    """Render sample clips with made-up plates, the truth about them beside."""
    from services.simulator.clips import render
    from services.simulator.traffic import timetable

    truth = render(timetable(seed, cameras), out, seed, done=typer.echo)
    vehicles = sum(len(recording.passages) for recording in truth.recordings)
    typer.echo(f"{len(truth.recordings)} recordings with {vehicles} passages, and truth.json, cameras.yaml, in {out}")


@app.command()
def vault(
    folder: Annotated[Path, typer.Argument(help="Where uploaded clips are kept.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8090,
    topic: Annotated[str, typer.Option(help="Topic on which recordings are announced.")] = "kcloud-event-queue",
    form: Annotated[str, typer.Option(help="Form of the messages: A (2020), B (2021) or C (today).")] = "B",
) -> None:
    """Run a stand-in for Kerberos Vault. Needs KAFKA_BROKER, STORAGE_ACCESS_KEY and STORAGE_SECRET."""
    if form not in ("A", "B", "C"):
        raise typer.BadParameter(f"{form!r} is none of A, B, C", param_hint="--form")
    broker = _needed("KAFKA_BROKER", "the Kafka brokers as host:port")
    _needed("STORAGE_ACCESS_KEY", "any access key; cameras and services use the same")
    _needed("STORAGE_SECRET", "any secret; cameras and services use the same")
    from services.simulator.vault import main

    words = ["--folder", str(folder), "--broker", broker, "--topic", topic, "--form", form, "--port", str(port)]
    raise typer.Exit(main(words))


@app.command()
def camera(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Clips named as Kerberos does, or folders of them.")],
    directory: Annotated[str, typer.Option(help="Directory of the keys.")] = "demo",
    provider: Annotated[str, typer.Option(help="Storage provider; empty: the account's own.")] = "demo",
    per_minute: Annotated[float, typer.Option(min=0, help="Clips a minute; 0: as fast as Vault takes them.")] = 0.0,
    repeat: Annotated[int, typer.Option(min=0, help="Go through the clips so many times; 0: for ever.")] = 1,
    live: Annotated[
        bool, typer.Option("--live", help="Name each clip as if it was recorded just now: a new recording each time.")
    ] = False,
) -> None:
    """Upload clips to Vault, real or stand-in, as a Kerberos agent does."""
    from services.simulator.camera import Account, UploadFailed, UploadingCamera, recorded_at

    words = [_needed(name, _STORAGE) for name in ("STORAGE_URI", "STORAGE_ACCESS_KEY", "STORAGE_SECRET")]
    agent = UploadingCamera(Account(words[0].rstrip("/"), words[1], words[2], directory, provider))
    found = [clip for path in paths for clip in (sorted(path.rglob("*.mp4")) if path.is_dir() else [path])]
    if not found:
        raise typer.BadParameter("there is no .mp4 file", param_hint="PATHS")
    try:
        for number, clip in enumerate(_rounds(found, repeat)):
            if number and per_minute:
                time.sleep(60 / per_minute)
            name = recorded_at(clip.name, round(time.time() * 1000)) if live else clip.name
            typer.echo(agent.upload(clip, name))
    except (UploadFailed, ValueError) as error:
        typer.echo(f"plateflow simulate camera: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from error
    finally:
        agent.close()


def _rounds(clips: list[Path], repeat: int) -> Iterator[Path]:
    """All clips, ``repeat`` times over; 0 is for ever."""
    times = itertools.repeat(clips, repeat) if repeat else itertools.repeat(clips)
    return itertools.chain.from_iterable(times)


@app.command()
def broker(
    port_file: Annotated[Path | None, typer.Option(help="Written with host:port once it can be reached.")] = None,
) -> None:
    """Run an embedded Kafka broker, in memory, on a free port: for trying things out only."""
    from services.simulator.broker import main

    raise typer.Exit(main(["--port-file", str(port_file)] if port_file else []))


def _needed(name: str, what: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise typer.BadParameter(f"{name} is not set: {what}", param_hint="environment")
    return value
