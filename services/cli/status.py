"""`plateflow status`: the state of everything on one screen, from the services' ports and from Kafka.

Exit code 1 where something is unready or cannot be reached; what can be told is told all the same.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.status_kafka import KafkaView, LastRecording
from services.cli.status_pages import Page, sampled
from services.contracts.cloudevents import rfc3339
from services.runtime.errors import SettingsError
from services.runtime.masking import mask_text
from services.runtime.settings import KafkaSettings, load

app = typer.Typer()
DEFAULT_URLS = tuple(f"http://127.0.0.1:{port}" for port in (8080, 8081, 8082))
SHOWN = 20
"""Cameras on the screen at most; with --json all."""


@dataclass(slots=True)
class Status:
    """All that is known. ``waiting``: service -> records of its topic not committed yet."""

    services: list[Page]
    waiting: dict[str, int] = field(default_factory=dict)
    cameras: list[LastRecording] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@app.command()
def status(
    url: Annotated[
        list[str] | None,
        typer.Option(help="Port of a service, such as http://ingest:8080; repeat it. Default: this host's 8080..8082."),
    ] = None,
    over: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds over which rates are measured.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what is ready, what waits, what was given up on, and when each camera recorded last."""
    found = Status(sampled(url or DEFAULT_URLS, over))
    for page in found.services:
        found.troubles += [f"{page.service or page.url}: {check}: {reason}" for check, reason in page.trouble.items()]
    _ask_kafka(found)
    if as_json:
        typer.echo(msgspec.json.encode(_as_json(found)))
    else:
        _show(found)
    if found.troubles:
        raise typer.Exit(1)


def _ask_kafka(found: Status) -> None:
    """Fills in what Kafka knows; what it does not tell becomes a trouble."""
    try:
        settings = load(KafkaSettings)
        with KafkaView(settings) as view:
            topics = {
                "ingest": settings.vault_topic,
                "inference": settings.topics.clips,
                "aggregator": settings.topics.tracks,
            }
            for service, topic in topics.items():
                try:
                    found.waiting[service] = view.waiting(service, topic)
                except LookupError as error:
                    found.troubles.append(f"kafka: {error.args[0]}: start {service}, or see plateflow doctor")
            found.cameras = view.last_recordings()
    except SettingsError as error:
        found.troubles.append(f"kafka: {error}")
    except LookupError as error:
        found.troubles.append(f"kafka: {error.args[0]}: no recording was finished yet")
    except KafkaException as error:
        found.troubles.append(f"kafka: does not answer ({mask_text(error.args[0].str())}): check KAFKA_BROKER")


def _as_json(found: Status) -> dict[str, object]:
    services = [msgspec.to_builtins(page) | {"ready": page.ready} for page in found.services]
    return {**msgspec.to_builtins(found), "services": services}


# ---- the screen --------------------------------------------------------------------------------------------------
def _show(found: Status) -> None:
    console = Console(highlight=False)
    console.print(_service_table(found))
    if found.cameras:
        console.print()
        console.print(_camera_table(found.cameras, round(time.time() * 1000)))
    if len(found.cameras) > SHOWN:
        console.print(f"... and {len(found.cameras) - SHOWN} cameras that recorded later; --json shows all")
    for trouble in found.troubles:
        console.print(Text(trouble, style="red"), soft_wrap=True)


def _service_table(found: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("service", no_wrap=True)
    table.add_column("ready", no_wrap=True)
    for name in ("waiting", "per second", "in flight", "behind", "dead letters"):
        table.add_column(name, justify="right")
    for page in found.services:
        if not page.service:
            table.add_row(Text(page.url.partition("://")[2]), Text("down", style="red"))
            continue
        waiting = found.waiting.get(page.service)
        table.add_row(
            page.service,
            Text("yes") if page.ready else Text("no", style="red"),
            "?" if waiting is None else f"{waiting:,}",
            f"{page.per_second:.1f}",
            f"{page.in_flight}",
            _duration(page.seconds_behind),
            f"{sum(page.dead_letters.values()):,}",
        )
    for service in sorted(found.waiting.keys() - {page.service for page in found.services}):
        table.add_row(service, Text("unknown", style="red"), f"{found.waiting[service]:,}")
    return table


def _camera_table(cameras: Sequence[LastRecording], now_ms: int) -> Table:
    table = Table("camera", "last recording", box=None, pad_edge=False)
    table.add_column("ago", justify="right")
    table.add_column("plates", justify="right")
    for one in cameras[:SHOWN]:
        ago = _duration(max(0, now_ms - one.start_ms) / 1000)
        table.add_row(Text(one.camera), rfc3339(one.start_ms), ago, str(one.tracks))
    return table


def _duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
