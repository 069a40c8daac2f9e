"""`plateflow deadletters list|show|replay|discard`: what was given up on, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer
from confluent_kafka import KafkaException

from services.cli import letter_desk
from services.cli.letter_desk import Desk
from services.cli.letters import Filter, Letter, Place, chosen, objection
from services.cli.times import parse_time
from services.contracts.cloudevents import rfc3339
from services.runtime.errors import Stop
from services.runtime.settings import KafkaSettings, load

app = typer.Typer(no_args_is_help=True, help="What was given up on: list it, look at it, replay or discard it.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of letters, or how they begin.")]
Stage = Annotated[str | None, typer.Option(help="Only of this service: ingest, inference or aggregator.")]
Reason = Annotated[str | None, typer.Option(help="Only for this reason, such as gone.")]
Camera = Annotated[str | None, typer.Option(help="Only of this camera, such as yard/gate_1.")]
Key = Annotated[str | None, typer.Option(help="Only of the recording with this object key.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only from this time on (2026-06-16T07:00:00Z), or PARTITION:OFFSET of the dead-letter topic."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command("list")
def list_letters(
    stage: Stage = None,
    reason: Reason = None,
    camera: Camera = None,
    key: Key = None,
    since: Since = None,
    judged: Annotated[bool, typer.Option("--all", help="Also replayed and discarded ones.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters that nobody has replayed or discarded yet, the oldest first."""
    conditions = Filter(stage, reason, camera, key, _since(since))
    with _kafka() as settings:
        found = chosen(letter_desk.letters(settings), (), conditions)
    shown = [letter for letter in found if judged or letter.verdict is None]
    if as_json:
        _print_json(shown)
    else:
        _print_table(shown, len(found) - len(shown))


@app.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID", help="Id, or how it begins.")]) -> None:
    """Show one dead letter whole: why, where from, its headers and the original, secret values masked."""
    with _kafka() as settings:
        (letter,) = chosen(letter_desk.letters(settings), [letter_id], Filter())
    for name, text in _facts(letter):
        typer.echo(f"{name:<12}{text}")
    typer.echo(f"\n{_readable(letter.message.value)}")


@app.command()
def replay(
    ids: Ids = None,
    stage: Stage = None,
    reason: Reason = None,
    camera: Camera = None,
    key: Key = None,
    since: Since = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters judged before; never tracks.")] = False,
    dry_run: Dry = False,
) -> None:
    """Send originals back to the topics they came from. Each letter once, however often this is called."""
    conditions = Filter(stage, reason, camera, key, _since(since))
    _check_some(ids, conditions)
    with _kafka() as settings:
        desk = None if dry_run else Desk(settings)
        found = chosen(letter_desk.letters(settings), ids or (), conditions)
        objections = {letter: objection(letter, again, settings.topics.tracks) for letter in found}
        fine = [letter for letter, words in objections.items() if words is None]
        if desk is not None:
            desk.replay(fine)
    _tell(objections, "would be replayed" if dry_run else "replayed")


@app.command()
def discard(
    ids: Ids = None,
    stage: Stage = None,
    reason: Reason = None,
    camera: Camera = None,
    key: Key = None,
    since: Since = None,
    dry_run: Dry = False,
) -> None:
    """Mark letters as judged, so that `list` hides them. They stay on their topic, and can be replayed with --again."""
    conditions = Filter(stage, reason, camera, key, _since(since))
    _check_some(ids, conditions)
    with _kafka() as settings:
        desk = None if dry_run else Desk(settings)
        found = chosen(letter_desk.letters(settings), ids or (), conditions)
        objections = {letter: letter.verdict and f"{letter.verdict} before" for letter in found}
        if desk is not None:
            desk.discard([letter for letter in found if letter.verdict is None])
    _tell(objections, "would be discarded" if dry_run else "discarded")


def _since(text: str | None) -> int | Place | None:
    if text is None:
        return None
    place = re.fullmatch(r"(\d{1,9}):(\d{1,18})", text)
    return Place(int(place[1]), int(place[2])) if place else parse_time(text, "--since")


def _check_some(ids: Sequence[str] | None, conditions: Filter) -> None:
    if not ids and conditions.empty:
        raise typer.BadParameter("name letters by id or by a filter; --since 1970-01-01 means all of them")


@contextmanager
def _kafka() -> Iterator[KafkaSettings]:
    """The broker of KAFKA_BROKER; what goes wrong with it, or with an id, ends the command in one line."""
    settings = load(KafkaSettings)
    try:
        yield settings
    except LookupError as error:
        raise Stop(str(error.args[0])) from error
    except KafkaException as error:
        raise Stop(f"{settings.broker} says: {error.args[0].str()}") from error


def _tell(objections: Mapping[Letter, str | None], done: str) -> None:
    """One line for each letter that was passed over, and the sum on the last."""
    passed = {letter: words for letter, words in objections.items() if words is not None}
    for letter, words in passed.items():
        typer.echo(f"{letter.message.id}: {words}")
    typer.echo(f"{len(objections) - len(passed)} {done}" + (f", {len(passed)} passed over" if passed else ""))


def _print_json(letters: Sequence[Letter]) -> None:
    for letter in letters:
        typer.echo(msgspec.json.encode(_as_dict(letter)).decode())


def _as_dict(letter: Letter) -> dict[str, Any]:
    """A letter without its original: `show` has that."""
    message = letter.message
    return {
        "id": message.id,
        "time_ms": letter.time_ms,
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "stage": message.stage,
        "reason": message.reason,
        "detail": message.detail,
        "attempts": message.attempts,
        "camera": letter.camera,
        "key": letter.recording,
        "origin": message.origin,
        "trace_id": message.trace_id,
        "verdict": letter.verdict,
    }


def _print_table(letters: Sequence[Letter], hidden: int) -> None:
    head = ("ID", "TIME", "STAGE", "REASON", "CAMERA", "ORIGIN", "VERDICT")
    rows = [head, *map(_row, letters)] if letters else []
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))] if rows else []
    for row in rows:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    more = f"; {hidden} replayed or discarded (--all shows them)" if hidden else ""
    typer.echo(f"{len(letters) or 'no'} dead {'letter' if len(letters) == 1 else 'letters'}{more}")


def _row(letter: Letter) -> tuple[str, ...]:
    message, origin = letter.message, letter.message.origin
    where = f"{origin.topic}:{origin.partition}:{origin.offset}"
    time = rfc3339(letter.time_ms)
    return message.id[:12], time, message.stage, message.reason, letter.camera or "-", where, letter.verdict or "open"


def _facts(letter: Letter) -> Iterator[tuple[str, object]]:
    message, origin = letter.message, letter.message.origin
    yield "id", message.id
    yield "time", rfc3339(letter.time_ms)
    yield "place", f"{letter.place.partition}:{letter.place.offset}"
    yield "verdict", letter.verdict or "open"
    yield "stage", message.stage
    yield "reason", message.reason
    yield "detail", message.detail
    yield "attempts", message.attempts
    yield "origin", f"{origin.topic}:{origin.partition}:{origin.offset}"
    yield "camera", letter.camera or "not known"
    yield "key", letter.recording or "not known"
    for name, value in message.headers:
        yield "header", f"{name}: {value.decode(errors='backslashreplace')}"


def _readable(value: bytes | None) -> str:
    """The original; JSON by lines."""
    if value is None:
        return "(no value)"
    try:
        return msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value.decode(errors="backslashreplace")
