"""`plateflow backfill`: announces stored recordings whose announcements Kafka does not hold any more.

In: the bucket of a source (or Vault's listing), Kafka, the settings of ingest. Out: announcements on
`plateflow.backfill`, which ingest reads beside Vault's topic; counts on the screen, or one JSON object.

Rules
- Nothing counts twice: what is finished or announced is passed over, and whatever is announced all the same meets the
  aggregator's ledger.
- Live recordings come first: so many announcements a second, and none while so many recordings wait.
- Ctrl+C at any moment: what is announced stands, the same call goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.cli import backfill_kafka
from services.cli.backfill_kafka import Announcer
from services.cli.times import parse_time
from services.contracts.cloudevents import rfc3339
from services.contracts.identity import recording_id
from services.contracts.kerberos import parse_key
from services.ingest.core.backfill import Outcome, Selection, announcement, camera_of
from services.ingest.settings import IngestSettings
from services.runtime.errors import Stop
from services.runtime.settings import load
from services.runtime.vault import Listed, VaultClient

app = typer.Typer()

LOOK_S = 2.0
"""How often it is looked how much waits."""


class Counts(msgspec.Struct):
    """How it went; the last line of ``--json``."""

    listed: int = 0
    announced: int = 0
    finished_before: int = 0
    announced_before: int = 0
    of_another_time: int = 0
    of_another_camera: int = 0
    no_recordings: int = 0
    dry_run: bool = False


@app.command()
def backfill(
    source: Annotated[str, typer.Option(help="Name of the Vault storage provider, as in the source map.")],
    from_: Annotated[str, typer.Option("--from", help="Start of the first recording, such as 2026-06-16T07:00:00Z.")],
    to: Annotated[str, typer.Option("--to", help="Up to this time, exclusive.")],
    camera: Annotated[str | None, typer.Option(help="Only of this camera, such as yard/gate_1.")] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Key of an agent whose recordings Vault lists, without a source map.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Announcements a second at most.")] = 10.0,
    ahead: Annotated[int, typer.Option(min=1, help="Wait while so many recordings are not finished yet.")] = 500,
    again: Annotated[
        bool, typer.Option("--again", help="Announce also what is finished or was announced before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be announced.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")] = False,
) -> None:
    """Feed in stored recordings whose announcements were lost, such as after a standstill beyond Kafka's retention.

    Run it with the environment of ingest. The bucket is read where the source is in PLATEFLOW_VAULT_SOURCES_FILE; else
    Vault lists the recordings of each --device. The same recording counts once, however often this is run.
    """
    selection = Selection(parse_time(from_, "--from"), parse_time(to, "--to"), camera)
    if selection.from_ms >= selection.to_ms:
        raise typer.BadParameter("must be later than --from", param_hint="--to")
    settings = load(IngestSettings)
    counts = Counts(dry_run=dry_run)
    screen = Screen(quiet=as_json)
    try:
        with VaultClient(settings.vault, settings.max_clip_bytes) as vault, screen:
            directory = camera.rpartition("/")[0] if camera else ""
            listed = vault.listed(source, selection.from_ms, selection.to_ms - 1, directory, device or ())
            _run(settings, source, _chosen(listed, selection, counts), counts, rate, ahead, again, screen)
    except KeyboardInterrupt:
        _tell(counts, as_json)
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(130) from None
    except KafkaException as error:
        raise Stop(f"{settings.kafka.broker} says: {error.args[0].str()}") from error
    _tell(counts, as_json)


def _chosen(listed: Iterator[Listed], selection: Selection, counts: Counts) -> Iterator[Listed]:
    """Those to announce; the others are counted."""
    for one in listed:
        counts.listed += 1
        outcome = selection.outcome(one.key)
        if outcome is Outcome.WANTED:
            yield one
        elif outcome is Outcome.OTHER_TIME:
            counts.of_another_time += 1
        elif outcome is Outcome.OTHER_CAMERA:
            counts.of_another_camera += 1
        else:
            counts.no_recordings += 1


def _run(
    settings: IngestSettings,
    source: str,
    chosen: Iterator[Listed],
    counts: Counts,
    rate: float,
    ahead: int,
    again: bool,
    screen: Screen,
) -> None:
    with Announcer(settings.kafka) as announcer:
        screen.say("reading what is finished")
        done = set() if again else backfill_kafka.finished(settings.kafka, settings.results)
        before = set() if again else backfill_kafka.announced(settings.kafka)
        pace = Pace(rate, ahead, announcer.waiting, screen.say)
        for one in chosen:
            recording = recording_id(one.key)
            if recording in done:
                counts.finished_before += 1
            elif recording in before:
                counts.announced_before += 1
            else:
                before.add(recording)
                if not counts.dry_run:
                    pace.wait()
                    announcer.announce(camera_of(parse_key(one.key)), announcement(one.key, source, one.size))
                counts.announced += 1
            screen.show(counts, one.key)


class Pace:
    """Holds announcements back: so many a second, and none while too many recordings wait."""

    def __init__(
        self,
        rate: float,
        ahead: int,
        waiting: Callable[[], int],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._every_s, self._ahead, self._waiting, self._say = 1 / rate, ahead, waiting, say
        self._clock, self._sleep = clock, sleep
        self._next_s = self._look_s = clock()
        self._room = 0

    def wait(self) -> None:
        """Returns when the next announcement may go out."""
        now = self._clock()
        if now < self._next_s:
            self._sleep(self._next_s - now)
        self._next_s = max(now, self._next_s) + self._every_s
        while self._room <= 0 or self._clock() >= self._look_s:
            waiting = self._waiting()
            self._room, self._look_s = self._ahead - waiting, self._clock() + LOOK_S
            if self._room > 0:
                break
            self._say(f"waiting: {waiting} recordings are not finished yet")
            self._sleep(LOOK_S)
        self._room -= 1


class Screen:
    """One line that says how far it is, on a terminal only."""

    def __init__(self, quiet: bool) -> None:
        console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console, transient=True
        )
        self._task = self._progress.add_task("listing")

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, words: str) -> None:
        self._progress.update(self._task, description=words)

    def show(self, counts: Counts, key: str) -> None:
        start = rfc3339(parse_key(key).start_ms or 0)
        self.say(f"{counts.announced} announced of {counts.listed} listed, at {start}")


def _tell(counts: Counts, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(counts).decode())
        return
    done = "would be announced" if counts.dry_run else "announced"
    others = Counter(
        {
            "finished before": counts.finished_before,
            "announced before": counts.announced_before,
            str(Outcome.OTHER_TIME): counts.of_another_time,
            str(Outcome.OTHER_CAMERA): counts.of_another_camera,
            str(Outcome.NO_RECORDING): counts.no_recordings,
        }
    )
    passed = "".join(f", {count} {words}" for words, count in others.items() if count)
    typer.echo(f"{counts.announced} {done} of {counts.listed} listed{passed}")
