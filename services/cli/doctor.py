"""`plateflow doctor`: checks what a service needs before it starts, and says what is wrong and what to do.

In: the environment that the services get.
Out: a line for each check, ``ok`` or ``wrong``; exit code 1 where one is wrong.

Rules
- Nothing is changed: no topic is made, no group joined, no transaction begun (that would fence a running service).
- A wrong setting does not keep the other checks from being made.
- No secret is ever printed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import httpx
import msgspec
import typer

from services.aggregator.files_s3 import files_at
from services.aggregator.settings import DataSettings
from services.cli.configuration import SERVICES, settings_of
from services.cli.doctor_finding import Finding, good, wrong
from services.cli.doctor_kafka import check_kafka
from services.cli.doctor_vault import check_vault
from services.inference.settings import PipelineSettings
from services.runtime.clips import open_store
from services.runtime.environment import Settings, unknown
from services.runtime.errors import SettingsError, Stop
from services.runtime.masking import mask_text
from services.runtime.settings import (
    KafkaSettings,
    ObjectStoreSettings,
    ObservabilitySettings,
    StoreSettings,
    VaultSettings,
    folder,
    load,
)

app = typer.Typer()
S = TypeVar("S", bound=Settings)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each check, a line each.")] = False,
) -> None:
    """Check settings, Vault, Kafka, stores, models and clocks; run it with the environment of the services."""
    failed = 0
    for finding in findings():
        typer.echo(_line(finding, as_json))
        failed += not finding.ok
    if failed:
        typer.echo(f"{failed} {'check is' if failed == 1 else 'checks are'} wrong", err=True)
        raise typer.Exit(1)


def _line(finding: Finding, as_json: bool) -> str:
    text = mask_text(finding.text)
    if as_json:
        return msgspec.json.encode({"subject": finding.subject, "ok": finding.ok, "text": text}).decode()
    colour = typer.colors.GREEN if finding.ok else typer.colors.RED
    word = "ok   " if finding.ok else "wrong"
    plain = "NO_COLOR" in os.environ
    return f"{word if plain else typer.style(word, fg=colour)}  {finding.subject}: {text}"


def findings() -> Iterator[Finding]:
    """Each check as soon as it is made."""
    yield from _settings()
    yield from _with(KafkaSettings, check_kafka)
    yield from _with(VaultSettings, check_vault)
    yield from _with(StoreSettings, lambda settings: _store("clip store", settings))
    yield from _with(ObjectStoreSettings, lambda settings: _store("object store", settings))
    yield from _with(DataSettings, _data)
    yield from _with(PipelineSettings, _models)
    yield from _with(ObservabilitySettings, _tracing)


def _with(kind: type[S], check: Callable[[S], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of ``check`` where its settings can be read; where not, `_settings` has said so."""
    try:
        settings = load(kind)
    except SettingsError:
        return
    yield from check(settings)


def _settings() -> Iterator[Finding]:
    """What is wrong or missing, each once, with the services that need it."""
    needed_by: dict[str, list[str]] = {}
    for service in SERVICES:
        for problem in _problems(settings_of(service)):
            needed_by.setdefault(problem, []).append(service)
    for problem, services in needed_by.items():
        yield wrong("settings", f"{problem} (needed by {', '.join(services)})")
    if not needed_by:
        yield good("settings", "complete and within their ranges")


def _problems(kind: type[Settings]) -> list[str]:
    try:
        load(kind)
    except SettingsError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return unknown(kind, os.environ)


def _store(name: str, settings: StoreSettings) -> Iterator[Finding]:
    trouble = open_store(settings).check()
    yield good(name, f"{settings.url} can be written to") if trouble is None else wrong(name, trouble)


def _data(settings: DataSettings) -> Iterator[Finding]:
    local = folder(settings.url)
    if local is not None:
        yield _data_folder(local)
        return
    trouble = files_at(settings).trouble()
    yield good("data", f"{settings.url} answers") if trouble is None else wrong("data", trouble)


def _data_folder(data: Path) -> Finding:
    """Writable, or can be made."""
    target = data.expanduser().absolute()
    existing = next(one for one in (target, *target.parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"plateflow")
    except OSError as error:
        return wrong(
            "data folder", f"cannot write to {existing} ({error.strerror}): correct PLATEFLOW_DATA, or its owner"
        )
    state = "can be written to" if existing == target else "is not there yet and can be made"
    return good("data folder", f"{data} {state}")


def _tracing(settings: ObservabilitySettings) -> Iterator[Finding]:
    """Where it is asked for: an empty set of spans is accepted by every collector."""
    if settings.tracing_endpoint is None:
        return
    address = f"{settings.tracing_endpoint}/v1/traces"
    try:
        httpx.post(address, headers={"Content-Type": "application/x-protobuf"}, timeout=5).raise_for_status()
        yield good("tracing", f"{settings.tracing_endpoint} takes spans")
    except httpx.HTTPError as error:
        why = str(error.response.status_code) if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        yield wrong(
            "tracing",
            f"{address} does not take spans ({why}): PLATEFLOW_TRACING_ENDPOINT needs the collector's port for OTLP "
            "over HTTP, usually 4318",
        )


def _models(settings: PipelineSettings) -> Iterator[Finding]:
    """Loads them as inference does, which compares their hashes with their model cards."""
    from services.inference.build import inference

    try:
        with inference(settings) as built:
            yield good("models", f"{built.models.detector} and {built.models.recogniser} load")
    except Stop as error:
        yield wrong("models", str(error))
