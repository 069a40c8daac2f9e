"""`plateflow results list|use`: which versions of the results there are, and which one readers should use.

How to make the next version beside the current one: docs/reprocessing.md.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from services.aggregator.files import LocalFiles
from services.aggregator.files_s3 import S3Files, files_at
from services.aggregator.settings import DataSettings
from services.aggregator.versions import Version, current, make_current, versions
from services.runtime.errors import SettingsError, Stop
from services.runtime.settings import load

app = typer.Typer(no_args_is_help=True, help="Versions of the results: list them, choose the current one.")

Data = Annotated[str | None, typer.Argument(help="Folder or s3://bucket/prefix; else PLATEFLOW_DATA.")]


@app.command("list")
def list_versions(
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List the versions that lie there; a star marks the current one."""
    files = _files(data)
    chosen, found = current(files), versions(files)
    for version in found:
        facts = {
            "results": version.results,
            "current": version.results == chosen,
            "cameras": version.cameras,
            "camera_hours": len(version.hours),
            "files": version.files,
            "first_date": version.first_date,
            "last_date": version.last_date,
        }
        typer.echo(msgspec.json.encode(facts).decode() if as_json else _line(version, chosen))
    if not found and not as_json:
        typer.echo("no results yet")


@app.command()
def use(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="What readers should use from now on.")],
    data: Data = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Although it lacks hours that the current version has.")
    ] = False,
) -> None:
    """Make a version the current one. Readers see the former or the new one, never none; nothing is removed."""
    files = _files(data)
    former = current(files)
    if former == number:
        typer.echo(f"results {number} are the current ones already")
        return
    by_number = {version.results: version for version in versions(files)}
    if number not in by_number:
        there = ", ".join(map(str, by_number)) or "none"
        raise Stop(f"there are no results {number}, only: {there}")
    lacking = _lacking(by_number.get(former or 0), by_number[number])
    if lacking and not incomplete:
        raise Stop(
            f"results {number} lack {lacking} hours of cameras that results {former} have: let it catch up, or say "
            "--incomplete"
        )
    make_current(files, number)
    typer.echo(f"results {number} are the current ones now" + (f", before: {former}" if former else ""))


def _lacking(former: Version | None, wanted: Version) -> int:
    return len(former.hours - wanted.hours) if former is not None else 0


def _line(version: Version, chosen: int | None) -> str:
    star = "*" if version.results == chosen else " "
    cameras = f"{version.cameras} camera{'s' if version.cameras != 1 else ''}"
    return (
        f"{star} results {version.results}: {cameras}, {len(version.hours)} hours of cameras, {version.files} files, "
        f"{version.first_date} to {version.last_date}"
    )


def _files(data: str | None) -> LocalFiles | S3Files:
    settings = load(DataSettings)
    if data is not None:
        settings = settings.model_copy(update={"url": data})
    files = files_at(settings)
    trouble = files.trouble()
    if trouble is not None:
        raise SettingsError(trouble)
    return files
