"""`plateflow`: every command a person types. Modules of commands are imported only when their command runs.

Exit codes: 0 done; 1 done, but the result is not good (the command says what); 2 a mistake in the command or in the
settings, told in one line; 130 stopped by Ctrl+C. The services' own codes: `services.runtime.service`.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command's typer app lies, and the line that `plateflow --help` shows for it."""

    module: str
    help: str


COMMANDS = {
    "demo": Command("services.cli.demo", "See it all work: render clips, run every service, check each plate."),
    "run": Command("services.cli.run", "Read plates in video files, without Kafka."),
    "serve": Command("services.cli.serve", "Read photos that are posted over HTTP, or dropped on a page."),
    "ingest": Command("services.cli.ingest", "Service: Vault's announcements in, clips out."),
    "inference": Command("services.cli.inference", "Service: clips in, tracks of plates out."),
    "aggregator": Command("services.cli.aggregator", "Service: tracks in, plates, passages and heatmaps out."),
    "heatmap": Command("services.cli.heatmap", "Draw heatmaps from Parquet, videos, or text files of plates."),
    "tracks": Command("services.cli.tracks", "Draw the ways of vehicles over an image or a plan, with their speeds."),
    "calibrate": Command("services.cli.calibrate", "Fit a camera to a plan, say how well, write the camera file."),
    "evaluate": Command("services.cli.evaluate", "Measure the models on pictures whose plates are known."),
    "train": Command("services.cli.train", "Train the models: detector, recogniser."),
    "data": Command("services.cli.data", "Prepare pictures with known plates: convert, merge, split, check, label."),
    "simulate": Command("services.cli.simulate", "Sample clips, a Vault stand-in, a camera, a broker."),
    "topics": Command("services.cli.topics", "Make the topics, with partitions and retention."),
    "deadletters": Command("services.cli.deadletters", "List, show, replay or discard what was given up on."),
    "backfill": Command("services.cli.backfill", "Feed in stored recordings whose announcements were lost."),
    "results": Command("services.cli.results", "Versions of the results: list them, choose the current one."),
    "status": Command("services.cli.status", "The state of everything: ready, behind, given up on, last recordings."),
    "doctor": Command("services.cli.doctor", "Check settings, Vault, Kafka, stores, models and clocks."),
    "tail": Command("services.cli.tail", "Print the messages of a topic as they come."),
}


class LazyCommands(TyperGroup):
    """Lists commands by the table above and imports the one that is called, so that `--help` is quick."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = COMMANDS.get(cmd_name)
        return TyperCommand(cmd_name, help=found.help) if found else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


def load(name: str) -> Any:
    """The command itself, its module imported."""
    command = typer.main.get_command(importlib.import_module(COMMANDS[name].module).app)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"plateflow {version('plateflow')}")
        raise typer.Exit


@app.callback()
def plateflow(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Number plates from Kerberos Vault recordings to Kafka, Parquet and heatmaps."""


def main() -> None:
    """Runs the command line of this process; never shows a traceback for a user's mistake."""
    from services.runtime.errors import SettingsError, Stop

    try:
        app()
    except (SettingsError, Stop) as error:
        sys.stderr.write(f"plateflow: {error}\n")
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
